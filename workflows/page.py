"""What a connection's page in Temporal's Web UI says, in words."""

from __future__ import annotations

from datetime import datetime

from everlink.contract import ConnectionState, ConnectionStatus, ReauthReason, Transition, verbatim


def clock(moment: datetime | None) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S UTC") if moment else "-"


def waiting_for(state: ConnectionState) -> str:
    """What the connection waits for."""
    match state.status:
        case ConnectionStatus.PENDING:
            return "the customer to finish connecting"
        case ConnectionStatus.REAUTH_REQUIRED:
            why = f" ({state.reason.words})" if state.reason else ""
            return f"the customer to reconnect{why}{_reminder(state)}"
        case ConnectionStatus.DISCONNECTED:
            return "nothing: disconnected"
        case ConnectionStatus.ACTIVE:
            expires = state.expires_at is not None or state.lifetimes.idle_window is not None
            refresh = state.lifetimes.renewable and expires
            what = "refresh" if refresh else "probe"
            retry = f", failed rounds so far: {state.failures}" if state.failures else ""
            return f"{what} due {clock(state.next_at)}{retry}"


def timer(state: ConnectionState) -> str:
    """The same where it stands alone, in the timeline."""
    words = waiting_for(state)
    return words if state.status is ConnectionStatus.ACTIVE else f"waiting for {words}"


def _reminder(state: ConnectionState) -> str:
    if state.remind_at is None:
        return ""
    return f", reminder {state.reminded + 1} of {len(state.reminder_days)} due {clock(state.remind_at)}"


def next_step(state: ConnectionState) -> str:
    """What whoever reads the page can do about it."""
    match state.status:
        case ConnectionStatus.REAUTH_REQUIRED if state.reason is ReauthReason.APPLICATION_DELETED:
            return f"enable the application {state.ref.slug} again, then {_reconnect(state)}"
        case ConnectionStatus.REAUTH_REQUIRED:
            return _reconnect(state)
        case ConnectionStatus.ACTIVE if state.failures and state.troubled_since is None:
            return f"correct the client of the application {state.ref.slug}, which the provider refuses for everybody"
        case ConnectionStatus.ACTIVE if state.failures:
            return "look whether the provider is out; it is tried again for as long as the grant may live"
        case ConnectionStatus.ACTIVE if state.last_notice is not None:
            return f"before {clock(state.ends_at)}, {_reconnect(state)}"
        case ConnectionStatus.PENDING | ConnectionStatus.ACTIVE:
            return "nothing"
        case ConnectionStatus.DISCONNECTED:
            return "nothing: this id never lives again, and the customer can connect anew"


def _reconnect(state: ConnectionState) -> str:
    return f"give the customer the link that `POST /v1/connections/{state.ref.connection_id}/reconnect` answers"


def details(state: ConnectionState) -> str:
    """The current details, in Markdown."""
    lines = [
        f"**{state.status}** since {clock(state.since)}, health {state.health}",
        "",
        f"- Waiting for: {waiting_for(state)}",
        f"- Next, for you: {next_step(state)}",
        f"- Whose: {verbatim(state.ref.linked_account_id)}, at {state.ref.slug} as {verbatim(state.ref.identifier)}",
        f"- Credential: generation {state.generation}, expires {clock(state.expires_at)}; refreshes: {state.refreshes}",
    ]
    if state.ends_at:
        lines.append(f"- The grant ends {clock(state.ends_at)}, unless it is renewed")
    if state.waiters:
        lines.append(f"- Workflows that wait for it to be active: {len(state.waiters)}")
    if state.last_failure:
        since = f" (nothing but failures since {clock(state.troubled_since)})" if state.troubled_since else ""
        lines.append(f"- Last failure: {state.last_failure}{since}")
    if state.console_url:
        lines.append(f"- [Its whole life, and what was sent about it]({state.console_url})")
    if state.timeline:
        lines += ["", "**What happened**, the latest first:", ""]
        lines += [_line(transition) for transition in reversed(state.timeline)]
    return "\n".join(lines)


def _line(transition: Transition) -> str:
    what = transition.event or f"{transition.status}, {transition.health}"
    why = transition.note or (transition.reason.words if transition.reason else "")
    return f"- #{transition.sequence} at {clock(transition.at)}: **{what}**" + (f" ({why})" if why else "")
