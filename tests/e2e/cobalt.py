"""The published browser SDK, from npm as it is, on a page of another origin."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import MappingProxyType
from typing import Any

from tests.e2e import npm

PACKAGE = "@cobaltio/cobalt-js@8.0.0"
INTEGRITY = "sha512-Wd7zZtWZ2EXgpvPsfE0ejsP4u+/f05dzdrJ0axJ2BLWM45q1VoRka0+R4Z8JQ5c+U48Gj0QT2SF7LXE8xejAlQ=="
PAGE = """<!doctype html>
<title>A product's page</title>
<script>var exports = {};</script>
<script src="package/cobalt.js"></script>
"""


def unpack(folder: Path) -> None:
    """Get the package and put a page beside it."""
    npm.unpack(PACKAGE, INTEGRITY, folder)
    (folder / "index.html").write_text(PAGE)


@contextmanager
def serving(folder: Path, headers: Mapping[str, str] = MappingProxyType({})) -> Iterator[str]:
    """The folder on an origin of its own, and on another site than the API: `localhost`, not 127.0.0.1."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, headers, directory=folder)) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://localhost:{server.server_port}"
        server.shutdown()


class _Quiet(SimpleHTTPRequestHandler):
    def __init__(self, more: Mapping[str, str], *given: Any, **named: Any) -> None:
        self._more = more
        super().__init__(*given, **named)

    def end_headers(self) -> None:
        for name, value in self._more.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, *_: Any) -> None:
        return
