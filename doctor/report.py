"""What the doctor found, for people and for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from doctor.findings import Finding, Standing

COLOURS = {Standing.OK: "green", Standing.NOTE: "cyan", Standing.WARNING: "yellow", Standing.FAILURE: "bold red"}


def as_json(findings: Sequence[Finding]) -> str:
    is_well = all(finding.standing is not Standing.FAILURE for finding in findings)
    return json.dumps({"ok": is_well, "checks": [finding.model_dump(mode="json") for finding in findings]}, indent=2)


def show(findings: Sequence[Finding]) -> None:
    if sys.stdout.isatty():
        _table(findings)
        return
    for finding in findings:
        mend = f" | mend: {finding.mend}" if finding.mend else ""
        print(f"{finding.standing}: {finding.check}: {finding.said}{mend}")


def _table(findings: Sequence[Finding]) -> None:
    table = Table(show_edge=False)
    for title in ("check", "", "what there is, and how to mend it"):
        table.add_column(title, overflow="fold")
    for finding in findings:
        said = Text(finding.said)
        if finding.mend is not None:
            said.append(f"\n→ {finding.mend}", style="bold")
        table.add_row(finding.check, Text(finding.standing, style=COLOURS[finding.standing]), said)
    Console().print(table)
