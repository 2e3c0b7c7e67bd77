"""The inbox of what providers tell, on both databases: once each, to whom it concerns, and gone in the end."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert, select, update

from everlink.contract import ConnectionStatus, Environment, InboxTask, RemovalKind
from store.database import Database
from store.erasing import Erasing
from store.inbox import KEPT, OVERDUE, Inbox, NewProviderEvent, inbox_place
from store.removals import Removals, removal_task
from store.scope import Scope
from store.tables import CONNECTION_KEYS, CONNECTIONS, PROVIDER_EVENTS, Connection, ProviderEventRow
from tests.store.conftest import NOW, make_connection

SECOND = timedelta(seconds=1)


@pytest.fixture
def inbox(database: Database) -> Inbox:
    return Inbox(database)


def task_of(scope: Scope, slug: str = "sandbox") -> InboxTask:
    return InboxTask(**scope._asdict(), slug=slug)


def new(event_id: str = "one", body: str = "", at: datetime | None = None, **match: list[str]) -> NewProviderEvent:
    ended: list[dict[str, Any]] = [{"kind": "revoked", "match": match or {"account": ["ada"]}}]
    return NewProviderEvent(event_id=event_id, body_sha256=body or f"body of {event_id}", ended=ended, occurred_at=at)


async def living(database: Database, scope: Scope, name: str, **keys: str) -> Connection:
    row = await make_connection(database, scope, name)
    async with database.writing() as writing:
        living = update(CONNECTIONS).where(CONNECTIONS.c.id == row.id)
        await writing.execute(living.values(status=ConnectionStatus.ACTIVE.value))
        key = {**scope.columns, "connection_id": row.id, "slug": row.slug}
        for name, value in keys.items():
            await writing.execute(insert(CONNECTION_KEYS).values({**key, "name": name, "value": value}))
    return row


async def test_event_is_kept_once_however_often_and_at_once_it_comes(inbox: Inbox, scope: Scope) -> None:
    kept = await asyncio.gather(*(inbox.receive(scope, "sandbox", new(), NOW) for _ in range(6)))
    assert sorted(kept) == [False] * 5 + [True]
    [row] = await inbox.waiting(task_of(scope), "", 10)
    assert (row.event_id, row.occurred_at, row.received_at, row.told) == ("one", NOW, NOW, 0)


async def test_same_event_of_another_tenant_application_or_environment_is_another(
    inbox: Inbox, scope: Scope, other: Scope
) -> None:
    production = scope._replace(environment=Environment.PRODUCTION)
    for whose, slug in ((scope, "sandbox"), (other, "sandbox"), (production, "sandbox"), (scope, "sandbox-key")):
        assert await inbox.receive(whose, slug, new(), NOW)
        assert len(await inbox.waiting(task_of(whose, slug), "", 10)) == 1


async def test_same_body_under_another_id_is_only_a_reason_to_look(inbox: Inbox, scope: Scope, other: Scope) -> None:
    for whose, event_id in ((scope, "one"), (scope, "two"), (other, "three")):
        await inbox.receive(whose, "sandbox", new(event_id, "the same"), NOW)
    kinds = [row.ended[0]["kind"] for row in await inbox.waiting(task_of(scope), "", 10)]
    assert sorted(kinds) == ["revoked", "suspect"]
    [row] = await inbox.waiting(task_of(other), "", 10)
    assert row.ended[0]["kind"] == "revoked"


async def test_events_wait_in_the_order_in_which_they_came(inbox: Inbox, scope: Scope) -> None:
    for number in range(7):
        await inbox.receive(scope, "sandbox", new(f"event {number}"), NOW + number * SECOND)
    first = await inbox.waiting(task_of(scope), "", 4)
    rest = await inbox.waiting(task_of(scope), first[-1].id, 4)
    assert [row.event_id for row in (*first, *rest)] == [f"event {number}" for number in range(7)]
    await inbox.finish(first[0], 3, NOW)
    assert [row.event_id for row in await inbox.waiting(task_of(scope), "", 1)] == ["event 1"]


async def test_event_concerns_those_that_have_all_of_its_keys(
    inbox: Inbox, database: Database, scope: Scope, other: Scope
) -> None:
    ada = await living(database, scope, "ada", team="T1", user="U1")
    bob = await living(database, scope, "bob", team="T1", user="U2")
    await living(database, scope, "eve", team="T2", user="U1")
    await living(database, other, "ada", team="T1", user="U1")
    for match, concerned in (
        ({"team": ["T1"]}, {ada.id, bob.id}),
        ({"team": ["T1"], "user": ["U1", "U3"]}, {ada.id}),
        ({"team": ["T1"], "user": ["U3"]}, set()),
        ({"user": ["T1"]}, set()),
    ):
        row = event_row(scope, match)
        assert {one.id for one in await inbox.concerned(row, 0, "", 10)} == concerned
        assert await inbox.concerns(scope, "sandbox", match) is bool(concerned)
    assert await inbox.concerned(event_row(scope, {"team": ["T1"]}, "sandbox-key"), 0, "", 10) == []
    async with database.writing() as writing:
        await writing.execute(update(CONNECTIONS).values(status=ConnectionStatus.DISCONNECTED.value))
    assert await inbox.concerned(event_row(scope, {"team": ["T1"]}), 0, "", 10) == []


def event_row(scope: Scope, match: dict[str, list[str]], slug: str = "sandbox") -> ProviderEventRow:
    return ProviderEventRow(**scope._asdict(), slug=slug, ended=[{"kind": "revoked", "match": match}])


async def test_how_far_telling_is_is_kept_and_whom_it_was_about_is_forgotten(inbox: Inbox, scope: Scope) -> None:
    await inbox.receive(scope, "sandbox", new(), NOW)
    [row] = await inbox.waiting(task_of(scope), "", 10)
    await inbox.told(row, 0, "con_5", 100)
    [row] = await inbox.waiting(task_of(scope), "", 10)
    assert (row.part, row.after, row.told) == (0, "con_5", 100)
    await inbox.finish(row, 130, NOW + SECOND)
    [row] = await rows(inbox)
    assert (row.told, row.dispatched_at, row.ended) == (130, NOW + SECOND, [])
    assert await inbox.waiting(task_of(scope), "", 10) == []
    assert not await inbox.receive(scope, "sandbox", new(), NOW)  # it is known again all the same


async def rows(inbox: Inbox) -> list[Any]:
    async with inbox._database.reading() as reading:
        return list((await reading.execute(select(PROVIDER_EVENTS))).all())


async def test_inboxes_that_nobody_sees_to_are_found_page_by_page(inbox: Inbox, scope: Scope, other: Scope) -> None:
    later = NOW + OVERDUE + SECOND
    places = [(scope, "a"), (scope, "b-c"), (scope._replace(environment=Environment.PRODUCTION), "a"), (other, "a")]
    for whose, slug in places:
        for number in range(3):
            await inbox.receive(whose, slug, new(f"event {number}"), NOW)
    await inbox.receive(other, "b", new(), later)  # somebody is being woken
    found: list[InboxTask] = []
    while page := await inbox.overdue(later, inbox_place(found[-1]) if found else "", 2):
        found += page
    assert sorted(map(inbox_place, found)) == sorted(inbox_place(task_of(*place)) for place in places)
    assert await inbox.overdue(NOW + OVERDUE, "", 10) == []


async def test_what_was_passed_on_long_ago_is_forgotten_and_what_waits_is_not(inbox: Inbox, scope: Scope) -> None:
    for event_id in ("told", "told lately", "waits"):
        await inbox.receive(scope, "sandbox", new(event_id), NOW)
    told, lately, _ = sorted(await inbox.waiting(task_of(scope), "", 10), key=lambda row: row.event_id)
    await inbox.finish(told, 1, NOW)
    await inbox.finish(lately, 1, NOW + KEPT)
    while await inbox.forget(NOW + KEPT + SECOND):
        pass
    assert sorted(row.event_id for row in await rows(inbox)) == ["told lately", "waits"]


async def test_nothing_is_left_of_a_tenant_that_is_erased(
    inbox: Inbox, database: Database, scope: Scope, other: Scope
) -> None:
    for whose in (scope, other):
        await inbox.receive(whose, "sandbox", new(), NOW)
    removal = await Removals(database).begin(scope, RemovalKind.ORGANIZATION, scope.org_id, NOW)
    assert removal is not None
    while await Erasing(database).forget(removal_task(removal)):
        pass
    assert [row.org_id for row in await rows(inbox)] == [other.org_id]
