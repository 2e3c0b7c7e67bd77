"""What a workflow that waits shows in Temporal's Web UI, above whatever it shows of itself."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from everlink.plugin.failures import DeadConnection

SHOWN = 20  # a page is read by a person


def line(dead: DeadConnection, began: datetime, deadline: datetime | None) -> str:
    """`began`: when the workflow began to wait; `deadline`: when it gives up, if ever."""
    since = f"since {_words(dead.since or began)}"
    reason = f" ({dead.reason.words})" if dead.reason else ""
    until = f", waiting until {_words(deadline)}" if deadline else ""
    return f"Waiting for {dead.whose} to be reconnected {since}{reason}{until}"


def above(users: str, lines: Sequence[str]) -> str:
    """The user's own details below the lines of the waits, as paragraphs of Markdown."""
    more = [f"... and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
    return "\n\n".join([*lines[:SHOWN], *more, *([users] if users else [])])


def _words(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
