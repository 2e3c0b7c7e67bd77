"""What arrived, beside what the store says has happened."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select

from everlink.contract import SUBSCRIBABLE, DeliveryStatus, EventType
from store.database import Database
from store.tables import DELIVERIES, EVENTS, TRANSITIONS
from tests.kills.endpoints import Course, Endpoint
from tests.kills.listener import Arrival, Listener
from tests.kills.product import Product

# An attempt looks whether its endpoint is enabled, and names its time, in whole seconds, a moment later.
LOOKED_BEFORE = 1.0
# In an outage the others of a connection are its application's to tell.
ALWAYS_TOLD = (EventType.CREATED, EventType.EXPIRED, EventType.REAUTHENTICATED, EventType.DELETED)


@dataclass(frozen=True)
class Happened:
    """An event as the store has it."""

    id: str
    type: EventType
    connection_id: str | None
    sequence: int
    body: dict[str, Any]
    created_at: datetime


async def events(database: Database) -> list[Happened]:
    columns = EVENTS.c
    query = select(
        columns.id, columns.type, columns.connection_id, columns.sequence, columns.body, columns.created_at
    ).where(columns.type.in_(SUBSCRIBABLE))
    async with database.reading() as reading:
        return [Happened(*row) for row in await reading.execute(query)]


async def under_way(database: Database) -> int:
    """Deliveries that have not come to their end."""
    query = select(func.count()).where(DELIVERIES.c.status == DeliveryStatus.SCHEDULED)
    async with database.reading() as reading:
        return int((await reading.execute(query)).scalar_one())


async def problems(database: Database, product: Product, endpoints: list[Endpoint], listener: Listener) -> list[str]:
    """A line for all that is not as it is promised."""
    happened = await events(database)
    found = [
        *_of_changes(product, happened),
        *await _of_sequences(database, happened),
        *of_arrivals(listener, happened),
    ]
    for endpoint in endpoints:
        arrived = listener.arrivals.get(endpoint.course.path, [])
        found += [f"{endpoint.course}: {words}" for words in of_endpoint(endpoint, arrived, happened)]
    if left := await under_way(database):
        found.append(f"{left} deliveries are neither delivered nor given up")
    return found


def _of_changes(product: Product, happened: list[Happened]) -> Iterator[str]:
    """One event for each change that the product made. A grant that it sends again is a grant again."""
    for kind, made in product.made.items():
        count = sum(event.type == kind for event in happened)
        if count < made or (count > made and kind is not EventType.REAUTHENTICATED):
            yield f"{made} times {kind!r} came about, and {count} events tell of it"


async def _of_sequences(database: Database, happened: list[Happened]) -> list[str]:
    """Each connection's transitions are counted without a gap, what is announced is an event, and these are a chain."""
    columns, numbers, announced = TRANSITIONS.c, defaultdict[str, set[int]](set), set()
    async with database.reading() as reading:
        for row in await reading.execute(select(columns.connection_id, columns.sequence, columns.event)):
            numbers[row.connection_id].add(row.sequence)
            if row.event in ALWAYS_TOLD:
                announced.add((row.connection_id, row.sequence))
    gaps = [f"{one}: transitions {sorted(own)}" for one, own in numbers.items() if own != set(range(1, len(own) + 1))]
    latest = dict[str | None, int]()
    for event in sorted((event for event in happened if event.connection_id is not None), key=lambda one: one.sequence):
        if event.body["previous_sequence"] != latest.get(event.connection_id):
            gaps.append(f"{event.connection_id}: {event.sequence} does not name the event before it")
        latest[event.connection_id] = event.sequence
    known = {(event.connection_id, event.sequence) for event in happened}
    return gaps + [f"{one}: announced, and no event" for one in announced - known]


def of_arrivals(listener: Listener, happened: list[Happened]) -> Iterator[str]:
    """Every request is signed, and under one id the same bytes come, which are the event's."""
    bodies, known = dict[str, bytes](), {event.id: event for event in happened}
    for arrival in (arrival for arrived in listener.arrivals.values() for arrival in arrived):
        if not arrival.verified:
            yield f"{arrival.id}: the signature is wrong"
        if arrival.id not in known:
            yield f"{arrival.id}: no such event"
        elif bodies.setdefault(arrival.id, arrival.body) != arrival.body:
            yield f"{arrival.id}: came with two bodies"
        elif json.loads(arrival.body) != known[arrival.id].body:
            yield f"{arrival.id}: is not what the store has"


def of_endpoint(endpoint: Endpoint, arrived: list[Arrival], happened: list[Happened]) -> Iterator[str]:
    ids = {arrival.id for arrival in arrived}
    match endpoint.course:
        case Course.STAYS:
            due = happened
        case Course.ENABLED:
            due = [event for event in happened if event.created_at.timestamp() > endpoint.changed_at]
            if early := sum(arrival.sent_at < int(endpoint.asked_at) for arrival in arrived):
                yield f"{early} requests came before"
        case _:
            due = []
            if late := sum(arrival.sent_at > endpoint.changed_at + LOOKED_BEFORE for arrival in arrived):
                yield f"{late} requests were sent after"
    if missing := [event for event in due if event.id not in ids]:
        yield f"{len(missing)} of {len(due)} events never arrived, {missing[0].id} among them"
    if endpoint.course is Course.STAYS and _sequences(event.body for event in due) != _sequences(_bodies(arrived)):
        yield "the sequences are not complete"
    if not arrived:
        yield "nothing came at all"


def _bodies(arrived: list[Arrival]) -> Iterator[dict[str, Any]]:
    return (json.loads(arrival.body) for arrival in arrived)


def _sequences(bodies: Iterable[dict[str, Any]]) -> set[tuple[str, int]]:
    """Of connections' events, as the bodies name them."""
    return {(body["connection_id"], body["sequence"]) for body in bodies if "connection_id" in body}
