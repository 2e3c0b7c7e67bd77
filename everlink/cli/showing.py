"""How connections and what happens to them look in a terminal, and where the output goes on to another program."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from datetime import UTC, datetime

from rich.console import Console
from rich.table import Table
from rich.text import Text

from everlink.contract import ConnectionStatus, Health, ReauthReason
from everlink.models import Connection, Event, Timeline, Transition

WHOLE_LINES = 10_000  # columns where nobody's terminal ends: no cell is cut or folded

STYLES = {
    ConnectionStatus.PENDING: "yellow",
    ConnectionStatus.ACTIVE: "green",
    ConnectionStatus.REAUTH_REQUIRED: "bold red",
    ConnectionStatus.DISCONNECTED: "dim",
}
NEXT = {
    ConnectionStatus.PENDING: "the customer finishes connecting",
    ConnectionStatus.ACTIVE: "Everlink refreshes or checks it by itself; its page in Temporal says when",
    ConnectionStatus.REAUTH_REQUIRED: "the customer reconnects",
    ConnectionStatus.DISCONNECTED: "nothing: it has ended",
}


def console() -> Console:
    """For people at a terminal; whole lines for pipes and files."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else WHOLE_LINES)


def table(*columns: str) -> Table:
    made = Table(*columns, box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for column in made.columns:
        column.overflow = "fold"
    return made


def printable(text: str) -> str:
    """Somebody else's text, which must not steer a terminal."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text)


def cell(text: str | None) -> Text:
    return Text(printable(text or "-"))


def moment(at: datetime | None) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC") if at else "-"


def why(reason: ReauthReason | None) -> str:
    return reason.words if reason else ""


def status(of: Connection | Transition) -> Text:
    degraded = " (degraded)" if of.health is Health.DEGRADED else ""
    return Text(f"{of.status}{degraded}", style="yellow" if degraded else STYLES[of.status])


def listed(connections: Iterable[Connection]) -> Table:
    made = table("ID", "ACCOUNT", "APPLICATION", "IDENTIFIER", "STATUS", "SINCE (UTC)", "REASON")
    made.columns[0].no_wrap = True
    for one in connections:
        made.add_row(
            one.id,
            cell(one.linked_account_id),
            cell(one.slug),
            cell(one.identifier),
            status(one),
            one.status_since.astimezone(UTC).strftime("%Y-%m-%d %H:%M"),
            why(one.reason) or "-",
        )
    return made


def details(connection: Connection, timeline: Timeline, console_page: str) -> Text:
    """One connection: how it stands, and what comes next. A terminal may wrap it, so that links stay whole."""
    failed = next((one for one in reversed(timeline.transitions) if _is_failure(one)), None)
    name = f"{connection.identifier} ({connection.display_name})" if connection.display_name else connection.identifier
    lines = {
        "Account": cell(connection.linked_account_id),
        "Application": cell(connection.slug),
        "Identifier": cell(name),
        "Status": status(connection),
        "Reason": cell(why(connection.reason)),
        "Since": cell(moment(connection.status_since)),
        "Next": cell(NEXT[connection.status]),
        "Last failure": cell(f"{moment(failed.at)}: {_said(failed)}" if failed else None),
        "Temporal": cell(connection.workflow_url),
        "Console": cell(console_page),
    }
    widest = max(map(len, lines))
    return Text("\n").join(Text.assemble((label.ljust(widest + 2), "bold"), value) for label, value in lines.items())


def happened(transitions: Iterable[Transition]) -> Table:
    made = table("#", "AT", "STATUS", "EVENT", "WHY")
    for one in transitions:
        made.add_row(str(one.sequence), moment(one.at), status(one), one.event or "-", cell(_said(one)))
    return made


def change(one: Transition) -> Text:
    """One change as a line."""
    return _line(one.at, status(one), one.event or "-", _said(one))


def news(event: Event) -> Text:
    """One event as a line."""
    body = event.body
    about = " ".join(str(body[name]) for name in ("linked_account_id", "slug", "identifier") if body.get(name))
    reason = body.get("reason")
    said = ReauthReason(reason).words if reason in list(ReauthReason) else ""
    return _line(event.created_at, Text(event.connection_id or "-"), event.type, f"{about}  {said}".strip())


def _line(at: datetime, what: Text, event: str, said: str) -> Text:
    return Text("  ").join([Text(moment(at)), what, Text(event, style="bold"), cell(said)])


def _is_failure(one: Transition) -> bool:
    return one.status is ConnectionStatus.REAUTH_REQUIRED or one.health is Health.DEGRADED


def _said(one: Transition) -> str:
    """Why: the reason, and what the provider or the customer did."""
    return ": ".join(part for part in (why(one.reason), one.note) if part)
