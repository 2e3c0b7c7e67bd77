"""Replays: events that are sent to an endpoint once more, one by one or many.

A delivery that was closed begins another round, and so does one that waits for its next attempt: that may be a day
away. Any other is on its way and left as it is, so that asking twice sends nothing twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import uuid4

from sqlalchemy import Row, Select, and_, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from everlink.contract import DeliveryStatus, EventType, ReplayPage, ReplayTask
from store.database import Database
from store.outbox import new_delivery, wants
from store.scope import Scope
from store.strays import ScheduledDelivery, scheduled_delivery, scheduled_query
from store.tables import DELIVERIES, EVENT_COUNTERS, EVENTS, REPLAYS, WEBHOOK_ENDPOINTS, Delivery, Replay
from store.webhooks import EndpointDisabled

PAGE = 100  # events
MOST_ON_THEIR_WAY = 200  # deliveries of one replay: a month of events does not storm an endpoint


class ReplayUnderWay(Exception):
    """The endpoint has a replay that has not finished."""


class Replays:
    """The store's side of replays."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def one(self, scope: Scope, event_id: str, endpoint_id: str, now: datetime) -> Delivery | None:
        """Send one event to an endpoint, also where it was never due there. None: one of them is not there.

        Raises:
            EndpointDisabled
        """
        event = select(EVENTS).where(EVENTS.c.id == event_id, scope.owns(EVENTS))
        mine = (DELIVERIES.c.event_id == event_id) & (DELIVERIES.c.endpoint_id == endpoint_id)
        async with self._database.writing() as connection:
            endpoint = await _endpoint(connection, scope, endpoint_id)
            events = (await connection.execute(event.with_for_update(read=True, key_share=True))).all()
            if endpoint is None or not events:
                return None
            if not endpoint.is_enabled:
                raise EndpointDisabled
            await self._send_again(connection, scope, endpoint_id, events, now)
            row = (await connection.execute(select(DELIVERIES).where(mine, scope.owns(DELIVERIES)))).one()
        return Delivery(**row._mapping)

    async def begin(
        self,
        scope: Scope,
        endpoint_id: str,
        now: datetime,
        *,
        after: int = 0,
        since: datetime | None = None,
        missed_only: bool = True,
    ) -> Replay | None:
        """Write down that events are to be sent again: those behind a position, and not before a time.

        Up to the last that was announced: it waits for those that are being announced, which may have found the
        endpoint disabled. What comes later is due there by itself. None: there is no such endpoint.

        Raises:
            EndpointDisabled
            ReplayUnderWay
        """
        under_way = select(REPLAYS.c.id).where(
            scope.owns(REPLAYS), REPLAYS.c.endpoint_id == endpoint_id, REPLAYS.c.finished_at.is_(None)
        )
        async with self._database.writing() as connection:
            # The endpoint before the counter, as an attempt that disables it and announces that.
            endpoint = await _endpoint(connection, scope, endpoint_id, alone=True)
            if endpoint is None:
                return None
            if not endpoint.is_enabled:
                raise EndpointDisabled
            if (await connection.execute(under_way)).first() is not None:
                raise ReplayUnderWay
            last = await self._last_announced(connection, scope)
            if since is not None:
                after = max(after, await _before(connection, scope, since, last))
            after = min(after, last)
            replay = Replay(
                id=f"rep_{uuid4().hex}",
                org_id=scope.org_id,
                environment=scope.environment,
                endpoint_id=endpoint_id,
                after_position=after,
                until_position=last,
                position=after,
                missed_only=missed_only,
                started_at=now,
            )
            values = {column.name: getattr(replay, column.name) for column in REPLAYS.columns}
            await connection.execute(REPLAYS.insert().values(values))
        return replay

    async def page(self, task: ReplayTask, now: datetime) -> ReplayPage:
        """Move the deliveries of the next events to another round, and remember how far that is, in one transaction."""
        scope = Scope.of(task)
        mine = (REPLAYS.c.id == task.id) & scope.owns(REPLAYS)
        async with self._database.writing() as connection:
            endpoint = await _endpoint(connection, scope, task.endpoint_id)
            unfinished = select(REPLAYS).where(mine, REPLAYS.c.finished_at.is_(None)).with_for_update()
            row = (await connection.execute(unfinished)).one_or_none()
            if endpoint is None or row is None:
                return ReplayPage(position=0, until=0, replayed=0, is_over=True, note="the endpoint was removed")
            replay = Replay(**row._mapping)
            if not endpoint.is_enabled:
                return _how_far(replay, is_over=True, note="stopped: the endpoint was disabled")
            on_their_way = await connection.execute(on_their_way_query(task.id, MOST_ON_THEIR_WAY))
            if len(on_their_way.all()) == MOST_ON_THEIR_WAY:
                return _how_far(replay, is_full=True)
            events = await _events(connection, scope, replay)
            wanted = [row for row in events if wants(endpoint, EventType(row.type), row.slug, row.body)]
            replay.replayed += await self._send_again(connection, scope, task.endpoint_id, wanted, now, replay)
            replay.position = events[-1].position if len(events) == PAGE else replay.until_position
            moved = {"position": replay.position, "replayed": replay.replayed}
            await connection.execute(update(REPLAYS).where(mine).values(moved))
        return _how_far(replay, is_over=replay.position >= replay.until_position)

    async def to_start(self, task: ReplayTask, after: int) -> list[ScheduledDelivery]:
        """A replay's deliveries of events behind a position that are not closed yet."""
        query = scheduled_query().where(
            DELIVERIES.c.replay_id == task.id, Scope.of(task).owns(DELIVERIES), DELIVERIES.c.position > after
        )
        async with self._database.reading() as connection:
            rows = (await connection.execute(query.order_by(DELIVERIES.c.position))).all()
        return [scheduled_delivery(row) for row in rows]

    async def finish(self, task: ReplayTask, note: str, now: datetime) -> None:
        mine = (REPLAYS.c.id == task.id) & Scope.of(task).owns(REPLAYS) & REPLAYS.c.finished_at.is_(None)
        async with self._database.writing() as connection:
            await connection.execute(update(REPLAYS).where(mine).values(finished_at=now, note=note))

    async def get(self, scope: Scope, replay_id: str) -> tuple[Replay, Counter[DeliveryStatus]] | None:
        """A replay, and how its deliveries fare that no other replay has taken over."""
        query = select(REPLAYS).where(REPLAYS.c.id == replay_id, scope.owns(REPLAYS))
        async with self._database.reading() as connection:
            row = (await connection.execute(query)).one_or_none()
            counts = await _counts(connection, scope, replay_id)
        return (Replay(**row._mapping), counts) if row is not None else None

    async def unfinished(self, after: str, limit: int) -> list[Replay]:
        """Of all tenants: what upkeep makes sure of."""
        query = (
            select(REPLAYS)
            .where(REPLAYS.c.finished_at.is_(None), REPLAYS.c.id > after)
            .order_by(REPLAYS.c.id)
            .limit(limit)
        )
        async with self._database.reading() as connection:
            rows = (await connection.execute(query)).all()
        return [Replay(**row._mapping) for row in rows]

    async def _last_announced(self, connection: AsyncConnection, scope: Scope) -> int:
        """Held until the commit, so that no event is announced meanwhile; also before there is the first."""
        counter = select(EVENT_COUNTERS.c.last).where(scope.owns(EVENT_COUNTERS)).with_for_update(read=True)
        await connection.execute(self._database.insert_or_ignore(EVENT_COUNTERS, {**scope.columns, "last": 0}))
        return int((await connection.execute(counter)).scalar_one())

    async def _send_again(
        self,
        connection: AsyncConnection,
        scope: Scope,
        endpoint_id: str,
        events: Sequence[Row[Any]],
        now: datetime,
        replay: Replay | None = None,
    ) -> int:
        """Begin another round of what is closed or waits to be tried again, and the first of what was never due.

        Answers of how many events.
        """
        if not events:
            return 0
        closed, replay_id = [DeliveryStatus.FAILED], replay.id if replay else None
        if replay is None or not replay.missed_only:
            closed.append(DeliveryStatus.DELIVERED)
        # No request is under way: those begin once their time has come.
        waits = and_(
            DELIVERIES.c.status == DeliveryStatus.SCHEDULED,
            DELIVERIES.c.attempts > 0,
            DELIVERIES.c.next_attempt_at > now,
        )
        another_round = (
            update(DELIVERIES)
            .where(
                DELIVERIES.c.event_id.in_([event.id for event in events]),
                DELIVERIES.c.endpoint_id == endpoint_id,
                scope.owns(DELIVERIES),
                or_(DELIVERIES.c.status.in_(closed), waits),
            )
            .values(
                status=DeliveryStatus.SCHEDULED,
                round=DELIVERIES.c.round + 1,
                replay_id=replay_id,
                attempts=0,
                last_note="",
                next_attempt_at=now,
                updated_at=now,
            )
        )
        first_round = [
            {**new_delivery(scope, event.id, endpoint_id, event.position, now), "replay_id": replay_id}
            for event in events
        ]
        begun = await connection.execute(another_round)
        insert = self._database.insert(DELIVERIES).values(first_round).on_conflict_do_nothing()
        return begun.rowcount + (await connection.execute(insert)).rowcount


def replay_task(replay: Replay) -> ReplayTask:
    """A row as the contract names it."""
    return ReplayTask(
        id=replay.id, org_id=replay.org_id, environment=replay.environment, endpoint_id=replay.endpoint_id
    )


def _how_far(replay: Replay, **more: Any) -> ReplayPage:
    return ReplayPage(position=replay.position, until=replay.until_position, replayed=replay.replayed, **more)


async def _endpoint(
    connection: AsyncConnection, scope: Scope, endpoint_id: str, *, alone: bool = False
) -> Row[Any] | None:
    """An endpoint, which stays until the commit; `alone`: without another that asks the same."""
    query = select(WEBHOOK_ENDPOINTS).where(WEBHOOK_ENDPOINTS.c.id == endpoint_id, scope.owns(WEBHOOK_ENDPOINTS))
    return (await connection.execute(query.with_for_update(read=not alone, key_share=True))).one_or_none()


async def _before(connection: AsyncConnection, scope: Scope, since: datetime, last: int) -> int:
    """The position before the first event that is not older."""
    query = select(func.min(EVENTS.c.position)).where(scope.owns(EVENTS), EVENTS.c.created_at >= since)
    first = (await connection.execute(query)).scalar_one()
    return last if first is None else first - 1


async def _events(connection: AsyncConnection, scope: Scope, replay: Replay) -> Sequence[Row[Any]]:
    query = select(EVENTS).where(
        scope.owns(EVENTS), EVENTS.c.position > replay.position, EVENTS.c.position <= replay.until_position
    )
    return (await connection.execute(query.order_by(EVENTS.c.position).limit(PAGE))).all()


def on_their_way_query(replay_id: str, limit: int) -> Select[Any]:
    """A replay's deliveries that are not closed, however many have been."""
    mine = (DELIVERIES.c.replay_id == replay_id) & (DELIVERIES.c.status == DeliveryStatus.SCHEDULED)
    return select(DELIVERIES.c.event_id).where(mine).limit(limit)


async def _counts(connection: AsyncConnection, scope: Scope, replay_id: str) -> Counter[DeliveryStatus]:
    query = select(DELIVERIES.c.status, func.count()).where(DELIVERIES.c.replay_id == replay_id, scope.owns(DELIVERIES))
    return Counter({status: count for status, count in await connection.execute(query.group_by(DELIVERIES.c.status))})
