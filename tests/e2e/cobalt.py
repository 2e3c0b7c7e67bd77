"""The published browser SDK, from npm as it is, and a page that has it."""

from __future__ import annotations

from pathlib import Path

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
