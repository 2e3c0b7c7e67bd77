"""What each page of the console shows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from urllib.parse import urlencode

from pydantic import BaseModel, Field, field_validator

from api.cursors import from_cursor, to_cursor
from api.endpoints import find_endpoint
from api.life import changes, draw
from api.lifecycle import find, is_identified
from api.replays import find_replay
from api.services import Services
from everlink.contract import ConnectionStatus, DeliveryStatus, Health, ReauthReason
from store.connections import Counts
from store.listing import ConnectionFilter
from store.renewals import read_renewals
from store.scope import Scope
from store.tables import Application, Connection

PER_PAGE = 50
MOST_CHANGES = 50  # of a connection, on a page that was not asked for all of them
MOST_DELIVERIES = 20  # of a connection; an endpoint's page has all

Values = dict[str, Any]


class Notice(StrEnum):
    """What came of a form, on the page that follows."""

    REPLAYED = "replayed"

    @property
    def words(self) -> str:
        return "The event is being sent once more."


class FormQuery(BaseModel):
    """A form's query: a field that is left blank is not given."""

    @field_validator("*", mode="before")
    @classmethod
    def _blank(cls, value: Any) -> Any:
        return value or None


class ConnectionsQuery(FormQuery):
    status: ConnectionStatus | None = None
    health: Health | None = None
    reason: ReauthReason | None = None
    application: str | None = Field(default=None, max_length=100)
    account: str | None = Field(default=None, max_length=255)
    cursor: str | None = Field(default=None, max_length=200)

    @property
    def filter(self) -> ConnectionFilter:
        return ConnectionFilter(
            status=self.status,
            reason=self.reason,
            health=self.health,
            slug=self.application,
            linked_account_id=self.account,
        )

    def link(self, **changed: str | None) -> str:
        """The list with other filters; it begins anew."""
        given = {**self.model_dump(mode="json", exclude={"cursor"}), **changed}
        query = urlencode({name: value for name, value in given.items() if value is not None})
        return f"/console?{query}" if query else "/console"


class ConnectionQuery(FormQuery):
    whole: bool | None = None  # all that has happened
    notice: Notice | None = None


class EndpointQuery(FormQuery):
    status: DeliveryStatus | None = None
    cursor: str | None = Field(default=None, max_length=200)
    replay: str | None = Field(default=None, max_length=100)
    notice: Notice | None = None


@dataclass(frozen=True)
class Tile:
    """A count that is a filter."""

    words: str
    count: int
    kind: str
    link: str
    is_chosen: bool


async def connections(made: Services, scope: Scope, asked: ConnectionsQuery) -> Values:
    after = await from_cursor(made, scope, "connections", asked.cursor)
    rows = await made.connections.page(scope, asked.filter, after=after, limit=PER_PAGE + 1)
    more = await to_cursor(made, scope, "connections", rows[PER_PAGE - 1].id) if len(rows) > PER_PAGE else None
    of_both = ConnectionFilter(slug=asked.application, linked_account_id=asked.account)
    counts = await made.connections.counts(scope, of_both)
    enabled = await made.tenants.applications(scope)
    endpoints = await made.webhooks.endpoints(scope)
    return {
        "asked": asked,
        "rows": rows[:PER_PAGE],
        "tiles": list(_tiles(asked, counts)),
        "next": asked.link(cursor=more) if more else None,
        "names": await _names(made, scope, {*(row.slug for row in rows), *(one.slug for one in enabled)}),
        "slugs": sorted({one.slug for one in enabled} | ({asked.application} if asked.application else set())),
        "troubled": [one.slug for one in enabled if one.alarm or one.outage_since],
        "failing": [one for one in endpoints if one.disabled_reason or one.failing_since],
        "reasons": list(ReauthReason),
        "statuses": list(ConnectionStatus),
        "healths": list(Health),
        "name_of": account_name,
        "now": made.clock(),
    }


def _tiles(asked: ConnectionsQuery, counts: Counts) -> Iterator[Tile]:
    """All, by status, and the degraded among them."""
    words = {
        ConnectionStatus.REAUTH_REQUIRED: "Need their customer",
        ConnectionStatus.ACTIVE: "Active",
        ConnectionStatus.PENDING: "Never connected",
        ConnectionStatus.DISCONNECTED: "Disconnected",
    }
    narrowed = asked.status is not None or asked.health is not None or asked.reason is not None
    of = {status: getattr(counts, status.value) for status in words}
    nothing = {"status": None, "health": None, "reason": None}
    yield Tile("All", sum(of.values()), "all", asked.link(**nothing), not narrowed)
    for status, count in of.items():
        chosen = asked.status is status and asked.health is None
        yield Tile(words[status], count, status.value, asked.link(**nothing | {"status": status.value}), chosen)
        if status is ConnectionStatus.ACTIVE:
            link = asked.link(**nothing | {"health": Health.DEGRADED.value})
            yield Tile("Degraded", counts.degraded, "degraded", link, asked.health is Health.DEGRADED)


async def connection(made: Services, scope: Scope, connection_id: str, asked: ConnectionQuery) -> Values:
    row = await find(made, scope, connection_id)
    timeline = await made.connections.timeline(scope, connection_id)
    renewals = await read_renewals(made.database, scope, connection_id)
    deliveries = await made.delivery_log.of_connection(scope, connection_id)
    happened = list(reversed(changes(timeline)))
    now = made.clock()
    return {
        "row": row,
        "title": account_name(row),
        "application": (await _names(made, scope, {row.slug}))[row.slug],
        "reason": ReauthReason(row.reason).words if row.reason else None,
        "picture": draw(row.created_at, timeline, renewals, now),
        "renewals": renewals,
        "changes": happened if asked.whole else happened[:MOST_CHANGES],
        "all_changes": len(happened),
        "deliveries": list(reversed(deliveries))[:MOST_DELIVERIES],
        "all_deliveries": len(deliveries),
        "endpoints": {one.id: one for one in await made.webhooks.endpoints(scope)},
        "workflow_url": made.workflow_url(connection_id),
        "back": f"/console/connections/{connection_id}",
        "notice": asked.notice,
        "now": now,
    }


@dataclass(frozen=True)
class ShownApplication:
    row: Application
    name: str
    icon: str
    counts: Counts


async def applications(made: Services, scope: Scope) -> Values:
    """Those that need somebody first."""
    shown = []
    for row in await made.tenants.applications(scope):
        entry = await made.entry(scope, row.slug)
        icon = entry.icon if entry is not None and entry.icon.startswith("data:") else ""  # no other host is asked
        counts = await made.connections.counts(scope, ConnectionFilter(slug=row.slug))
        shown.append(ShownApplication(row, entry.name if entry is not None else row.slug, icon, counts))
    shown.sort(key=lambda one: (one.row.alarm is None, one.row.outage_since is None, one.name.lower()))
    return {"applications": shown, "now": made.clock()}


async def endpoints(made: Services, scope: Scope) -> Values:
    rows = await made.webhooks.endpoints(scope)
    return {"endpoints": sorted(rows, key=lambda one: (one.is_enabled and one.failing_since is None, one.url))}


async def endpoint(made: Services, scope: Scope, endpoint_id: str, asked: EndpointQuery) -> Values:
    """An endpoint with what was due at it, of the newest event first."""
    row = await find_endpoint(made, scope, endpoint_id)
    name = f"deliveries/{endpoint_id}"
    position = await from_cursor(made, scope, name, asked.cursor)
    before = None if position is None else int(position)
    found = await made.delivery_log.of_endpoint(scope, endpoint_id, asked.status, before=before, limit=PER_PAGE + 1)
    here, narrowed = f"/console/endpoints/{endpoint_id}", {"status": asked.status.value} if asked.status else {}
    following = None
    if len(found) > PER_PAGE:
        cursor = await to_cursor(made, scope, name, str(found[PER_PAGE - 1].delivery.position))
        following = f"{here}?{urlencode({**narrowed, 'cursor': cursor})}"
    return {
        "row": row,
        "deliveries": found[:PER_PAGE],
        "next": following,
        "endpoints": {row.id: row},
        "statuses": list(DeliveryStatus),
        "asked": asked,
        "replay": await find_replay(made, scope, asked.replay) if asked.replay else None,
        "here": here,
        "back": f"{here}?{urlencode(narrowed)}" if narrowed else here,
        "notice": asked.notice,
        "now": made.clock(),
    }


def account_name(row: Connection) -> str:
    """The account at the provider, as people know it; where the application cannot tell, whose it is."""
    if row.display_name:
        return row.display_name
    return row.identifier if is_identified(row) else row.linked_account_id


async def _names(made: Services, scope: Scope, slugs: set[str]) -> dict[str, str]:
    entries = {slug: await made.entry(scope, slug) for slug in slugs}
    return {slug: entry.name if entry is not None else slug for slug, entry in entries.items()}
