"""docs/cli.md: the rows that it shows are taken, and each command that it names is there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from api.catalog import item
from dev.config import ROOT
from everlink.cli.app import app
from everlink.cli.importing.reading import Rows
from everlink.cli.importing.shapes import NangoAccount, Reader
from providers.catalog import Catalog

TEXT = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(?:json|csv)\n(.*?)```", TEXT, re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS)
def test_rows_are_taken(block: str, tmp_path: Path) -> None:
    catalog = {entry.slug: item(entry, enabled=True) for entry in Catalog.load(None)}
    reader = Reader(catalog, {}, NangoAccount.END_USER)
    (tmp_path / "rows").write_text(block)
    with Rows(tmp_path / "rows") as rows:
        held = [reader.held(row) for row in rows]
    assert len(held) >= 2 and {one.account_id for one in held} == {"acme", "globex"}


def test_commands_and_options_are_those_that_there_are() -> None:
    whole = get_command(app)
    told = re.findall(r"^\$ everlink (.+)$", TEXT, re.MULTILINE)
    assert len(told) >= 6
    for line in told:
        command: Any = whole
        for word in line.split():
            command = getattr(command, "commands", {}).get(word, command)
            assert not word.startswith("--") or word in options(command), line
        assert not hasattr(command, "commands"), line
    assert set(re.findall(r"`(--[a-z-]+)", TEXT)) <= options(whole)


def options(command: Any) -> set[str]:
    """Of a command and all below it."""
    below = [options(one) for one in getattr(command, "commands", {}).values()]
    return {name for parameter in command.params for name in parameter.opts}.union(*below)
