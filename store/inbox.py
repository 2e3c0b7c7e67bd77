"""The inbox: what providers told of grants, until every connection that it is about has been told."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from sqlalchemy import Select, delete, exists, select, tuple_, update

from everlink.contract import ConnectionStatus, InboxTask, ProviderEventKind
from store.database import Database
from store.scope import Scope
from store.tables import CONNECTION_KEYS, CONNECTIONS, PROVIDER_EVENTS, Connection, ProviderEventRow

OVERDUE = timedelta(minutes=1)  # an event that nobody has seen to
KEPT = timedelta(days=30)  # to know an event again that comes a second time
BATCH = 1000
LIVING = (ConnectionStatus.ACTIVE.value, ConnectionStatus.REAUTH_REQUIRED.value)


@dataclass(frozen=True)
class NewProviderEvent:
    """An event as it is put into the inbox."""

    event_id: str
    body_sha256: str
    ended: list[dict[str, Any]] = field(repr=False)  # `kind`, and `match`: the values of each key
    occurred_at: datetime | None


class Inbox:
    """Events go in once and are seen to in their order."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def receive(self, scope: Scope, slug: str, event: NewProviderEvent, now: datetime) -> bool:
        """Keep an event, before it is answered. False: it is there already.

        The same body under another id may have been sent by whoever overheard the first, where the id is not signed:
        it is a reason to look, and no more.
        """
        mine = scope.owns(PROVIDER_EVENTS) & (PROVIDER_EVENTS.c.slug == slug)
        row = {
            "id": f"pev_{int(now.timestamp() * 1000):013d}_{uuid4().hex[:16]}",
            **scope.columns,
            "slug": slug,
            "event_id": event.event_id,
            "body_sha256": event.body_sha256,
            "occurred_at": min(event.occurred_at or now, now),
            "received_at": now,
            "part": 0,
            "after": "",
            "told": 0,
        }
        heard = select(exists().where(mine, PROVIDER_EVENTS.c.body_sha256 == event.body_sha256))
        async with self._database.writing() as connection:
            ended = event.ended
            if (await connection.execute(heard)).scalar_one():
                ended = [{**one, "kind": ProviderEventKind.SUSPECT.value} for one in ended]
            insert = self._database.insert_or_ignore(PROVIDER_EVENTS, {**row, "ended": ended})
            return (await connection.execute(insert)).rowcount == 1

    async def concerns(self, scope: Scope, slug: str, match: dict[str, list[str]]) -> bool:
        """Whether there is such a connection."""
        async with self._database.reading() as connection:
            return (await connection.execute(_matching(scope, slug, match).limit(1))).one_or_none() is not None

    async def waiting(self, task: InboxTask, after: str, limit: int) -> list[ProviderEventRow]:
        """Events that connections have to be told of, the first ones first."""
        mine = Scope.of(task).owns(PROVIDER_EVENTS) & (PROVIDER_EVENTS.c.slug == task.slug)
        query = (
            select(PROVIDER_EVENTS)
            .where(mine, PROVIDER_EVENTS.c.dispatched_at.is_(None), PROVIDER_EVENTS.c.id > after)
            .order_by(PROVIDER_EVENTS.c.id)
            .limit(limit)
        )
        async with self._database.reading() as connection:
            rows = (await connection.execute(query)).all()
        return [ProviderEventRow(**row._mapping) for row in rows]

    async def concerned(self, event: ProviderEventRow, part: int, after: str, limit: int) -> list[Connection]:
        """The next connections that one part of an event is about."""
        match = event.ended[part]["match"]
        query = _matching(Scope(event.org_id, event.environment), event.slug, match)
        query = query.where(CONNECTIONS.c.id > after).order_by(CONNECTIONS.c.id).limit(limit)
        async with self._database.reading() as connection:
            rows = (await connection.execute(query)).all()
        return [Connection(**row._mapping) for row in rows]

    async def told(self, event: ProviderEventRow, part: int, after: str, told: int) -> None:
        """Connections of this part are told, up to `after`."""
        await self._change(event, {"part": part, "after": after, "told": told})

    async def finish(self, event: ProviderEventRow, told: int, now: datetime) -> None:
        """All are told. Whom it was about is forgotten; that it came is kept for a while."""
        await self._change(event, {"told": told, "dispatched_at": now, "ended": []})

    async def overdue(self, now: datetime, after: str, limit: int) -> list[InboxTask]:
        """Applications with events that nobody sees to, in the order of `inbox_place`."""
        place = (PROVIDER_EVENTS.c.org_id, PROVIDER_EVENTS.c.environment, PROVIDER_EVENTS.c.slug)
        query = (
            select(*place)
            .distinct()
            .where(
                PROVIDER_EVENTS.c.dispatched_at.is_(None),
                PROVIDER_EVENTS.c.received_at < now - OVERDUE,
                tuple_(*place) > tuple_(*_place(after)),
            )
            .order_by(*place)
            .limit(limit)
        )
        async with self._database.reading() as connection:
            rows = (await connection.execute(query)).all()
        return [InboxTask(**row._mapping) for row in rows]

    async def forget(self, now: datetime) -> bool:
        """Delete some events that all were told of long ago; False where none is left."""
        old = select(PROVIDER_EVENTS.c.id).where(PROVIDER_EVENTS.c.dispatched_at < now - KEPT).limit(BATCH)
        async with self._database.writing() as connection:
            found = await connection.execute(delete(PROVIDER_EVENTS).where(PROVIDER_EVENTS.c.id.in_(old)))
            return found.rowcount > 0

    async def _change(self, event: ProviderEventRow, values: dict[str, Any]) -> None:
        async with self._database.writing() as connection:
            await connection.execute(update(PROVIDER_EVENTS).where(PROVIDER_EVENTS.c.id == event.id).values(values))


def inbox_place(task: InboxTask) -> str:
    return f"{task.org_id}/{task.environment.value}/{task.slug}"


def _place(text: str) -> list[str]:
    return [*text.split("/", 2), "", ""][:3]


def _matching(scope: Scope, slug: str, match: dict[str, list[str]]) -> Select[Any]:
    """Connections that have one of the values at each of the keys."""
    query = select(CONNECTIONS).where(CONNECTIONS.c.status.in_(LIVING))
    for name, values in match.items():
        named = (CONNECTION_KEYS.c.name == name) & CONNECTION_KEYS.c.value.in_(values)
        mine = scope.owns(CONNECTION_KEYS) & (CONNECTION_KEYS.c.slug == slug)
        query = query.where(CONNECTIONS.c.id.in_(select(CONNECTION_KEYS.c.connection_id).where(mine, named)))
    return query
