"""The parts of docs/webhooks.md, as they stand there."""

from __future__ import annotations

import re
from typing import Any

from dev.config import ROOT

TEXT = (ROOT / "docs" / "webhooks.md").read_text()


def blocks(language: str, holding: str = "") -> list[str]:
    """The code blocks of a language that hold this text."""
    found: list[str] = re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)
    return [block for block in found if holding in block]


def table(heading: str) -> list[list[str]]:
    """The rows of the table whose first heading this is."""
    found = re.search(rf"^\| {heading} \|.*\n\|[-|]+\n((?:\|.*\n)+)", TEXT, re.MULTILINE)
    assert found is not None, heading
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in found[1].splitlines()]


def python(block: str) -> dict[str, Any]:
    """What a block of Python defines."""
    defined: dict[str, Any] = {}
    exec(compile(block, "docs/webhooks.md", "exec"), defined)
    return defined
