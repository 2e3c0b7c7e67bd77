"""Packages from npm, as they are published: of one version, and known by their digest."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest


def unpack(package: str, integrity: str, folder: Path) -> Path:
    """Get a package, see that it is the one we know, and answer where its files are.

    Skips the test where npm is not there or does not get it.
    """
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed")
    command = [npm, "pack", package, "--json", "--prefer-offline", "--pack-destination", str(folder)]
    try:
        packed = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=folder, check=True)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        pytest.skip(f"npm does not get {package}")
    archive = folder / _file_name(json.loads(packed.stdout))
    digest = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    assert f"sha512-{digest}" == integrity
    with tarfile.open(archive) as opened:
        opened.extractall(folder, filter="data")
    return folder / "package"


def _file_name(said: Any) -> str:
    """npm has said it in a list or, since version 11, by the package's name."""
    [one] = said.values() if isinstance(said, dict) else said
    return str(one["filename"])
