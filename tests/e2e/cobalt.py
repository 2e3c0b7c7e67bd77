"""The published browser SDK, from npm as it is, on a page of another origin."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

PACKAGE = "@cobaltio/cobalt-js@8.0.0"
INTEGRITY = "sha512-Wd7zZtWZ2EXgpvPsfE0ejsP4u+/f05dzdrJ0axJ2BLWM45q1VoRka0+R4Z8JQ5c+U48Gj0QT2SF7LXE8xejAlQ=="
PAGE = """<!doctype html>
<title>A product's page</title>
<script>var exports = {};</script>
<script src="package/cobalt.js"></script>
"""


def unpack(folder: Path) -> None:
    """Get the package with npm, see that it is the one we know, and put a page beside it.

    Skips the test where npm is not there or does not get it.
    """
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed")
    command = [npm, "pack", PACKAGE, "--json", "--prefer-offline", "--pack-destination", str(folder)]
    try:
        packed = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=folder, check=True)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        pytest.skip(f"npm does not get {PACKAGE}")
    archive = folder / _file_name(json.loads(packed.stdout))
    digest = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    assert f"sha512-{digest}" == INTEGRITY
    with tarfile.open(archive) as opened:
        opened.extractall(folder, filter="data")
    (folder / "index.html").write_text(PAGE)


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """The folder on an origin of its own, and on another site than the API: `localhost`, not 127.0.0.1."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=folder)) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://localhost:{server.server_port}"
        server.shutdown()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        return


def _file_name(said: Any) -> str:
    """npm has said it in a list or, since version 11, by the package's name."""
    [one] = said.values() if isinstance(said, dict) else said
    return str(one["filename"])
