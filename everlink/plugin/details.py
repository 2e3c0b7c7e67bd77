"""What a workflow that waits shows in Temporal's Web UI: on top of whatever it shows of itself."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from temporalio import workflow

from everlink.plugin.failures import DeadConnection

SHOWN = 20  # a page is read by a person
GAP = "\n\n"  # between paragraphs of Markdown


class Details:
    """The current details of one workflow run. The user's own stand below, and alone once nothing is waited for."""

    def __init__(self) -> None:
        self._ours = ""

    def show(self, lines: Sequence[str]) -> None:
        """Put these lines in the place of the ones before. What the user's code has written meanwhile stays."""
        users = workflow.get_current_details().removeprefix(self._ours)
        shown = [*lines[:SHOWN], f"... and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else lines
        self._ours = "".join(line + GAP for line in shown)
        workflow.set_current_details(self._ours + users)


def line(dead: DeadConnection, began: datetime, deadline: datetime | None) -> str:
    """`began`: when the workflow began to wait; `deadline`: when it gives up, if ever."""
    since = f"since {_words(dead.since or began)}"
    reason = f" ({dead.reason.words})" if dead.reason else ""
    until = f", waiting until {_words(deadline)}" if deadline else ""
    return f"Waiting for {dead.whose} to be reconnected {since}{reason}{until}"


def _words(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
