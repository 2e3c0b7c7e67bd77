"""All that an organization has in one environment, as records that hold no secret of any kind.

What is given is named column by column: a column that is added later is not given by itself.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, Table, select, tuple_

from store.database import Database
from store.scope import Scope
from store.tables import (
    API_KEYS,
    APPLICATIONS,
    CONNECTION_KEYS,
    CONNECTIONS,
    DELIVERIES,
    DELIVERY_ATTEMPTS,
    EVENT_COUNTERS,
    EVENTS,
    LINKED_ACCOUNTS,
    ORGANIZATIONS,
    OWN_APPLICATIONS,
    PROVIDER_EVENTS,
    REMOVALS,
    REPLAYS,
    TENANT_SETTINGS,
    TRANSITIONS,
    WEBHOOK_ENDPOINTS,
)

PAGE = 500


@dataclass(frozen=True)
class Part:
    """One kind of record: its table, and what of it is given."""

    kind: str
    table: Table
    columns: tuple[str, ...]


PARTS = (
    Part("settings", TENANT_SETTINGS, ("allowed_origins", "reminder_days")),
    Part("api_key", API_KEYS, ("id", "name", "scopes", "created_at", "expires_at", "overlap_until", "revoked_at")),
    Part(
        "application",
        APPLICATIONS,
        ("id", "slug", "client_id", "scopes", "alarm", "alarm_at", "created_at", "removed_at"),
    ),
    Part("own_application", OWN_APPLICATIONS, ("slug", "definition", "created_at", "updated_at")),
    Part(
        "webhook_endpoint",
        WEBHOOK_ENDPOINTS,
        (
            "id", "url", "events", "applications", "reminders", "header_names", "method", "is_enabled",
            "disabled_reason", "disabled_at", "failing_since", "created_at",
        ),
    ),
    Part("linked_account", LINKED_ACCOUNTS, ("id", "name", "udf", "created_at", "removed_at")),
    Part(
        "connection",
        CONNECTIONS,
        (
            "id", "linked_account_id", "slug", "identifier", "display_name", "auth_type", "status", "health", "reason",
            "status_since", "connected_at", "sequence", "created_at",
        ),
    ),
    Part("connection_key", CONNECTION_KEYS, ("connection_id", "name", "value")),
    Part(
        "transition",
        TRANSITIONS,
        ("connection_id", "sequence", "at", "previous_status", "status", "health", "reason", "event", "note"),
    ),
    Part("event", EVENTS, ("id", "connection_id", "sequence", "position", "type", "slug", "body", "created_at")),
    Part("event_counter", EVENT_COUNTERS, ("last",)),
    Part(
        "delivery",
        DELIVERIES,
        (
            "event_id", "endpoint_id", "status", "round", "replay_id", "attempts", "last_note", "next_attempt_at",
            "updated_at",
        ),
    ),
    Part(
        "delivery_attempt",
        DELIVERY_ATTEMPTS,
        ("event_id", "endpoint_id", "round", "attempt", "at", "seconds", "url", "method", "status", "note"),
    ),
    Part(
        "replay",
        REPLAYS,
        (
            "id", "endpoint_id", "after_position", "until_position", "position", "missed_only", "replayed", "note",
            "started_at", "finished_at",
        ),
    ),
    Part(
        "provider_event",
        PROVIDER_EVENTS,
        ("id", "slug", "ended", "occurred_at", "received_at", "told", "dispatched_at"),
    ),
    Part("removal", REMOVALS, ("id", "kind", "subject", "total", "done", "started_at", "finished_at")),
)  # fmt: skip


async def lines(database: Database, scope: Scope) -> AsyncIterator[str]:
    """The records as JSON, one a line."""
    async for record in records(database, scope):
        yield json.dumps(record, default=_plain, ensure_ascii=False) + "\n"


async def records(database: Database, scope: Scope) -> AsyncIterator[dict[str, Any]]:
    """One record after the other, read a page at a time; the last says how many there were before it."""
    organization = select(ORGANIZATIONS).where(ORGANIZATIONS.c.id == scope.org_id)
    async with database.reading() as connection:
        row = (await connection.execute(organization)).one()
    yield {**_record("organization", row), "environment": scope.environment.value}
    count = 1
    for part in PARTS:
        async for row in _rows(database, scope, part):
            yield _record(part.kind, row)
            count += 1
    yield {"record": "end", "records": count}


async def _rows(database: Database, scope: Scope, part: Part) -> AsyncIterator[Row[Any]]:
    key = list(part.table.primary_key.columns)
    given = [part.table.c[name] for name in part.columns]
    # The place in the order comes along under names of its own.
    place = [column.label(f"place_{column.name}") for column in key]
    query = select(*given, *place).where(scope.owns(part.table)).order_by(*key).limit(PAGE)
    after: tuple[Any, ...] | None = None
    while True:
        page = query if after is None else query.where(tuple_(*key) > tuple_(*after))
        async with database.reading() as connection:
            rows = (await connection.execute(page)).all()
        for row in rows:
            yield row
        if len(rows) < PAGE:
            return
        after = tuple(rows[-1]._mapping[column.name] for column in place)


def _plain(value: Any) -> str:
    assert isinstance(value, datetime)
    return value.isoformat()


def _record(kind: str, row: Row[Any]) -> dict[str, Any]:
    return {"record": kind, **{name: value for name, value in row._mapping.items() if not name.startswith("place_")}}
