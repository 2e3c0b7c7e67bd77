"""Reminders on their way to the endpoints that want them, and what of them a lost workflow goes on with."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select

from everlink.contract import (
    ConnectionState,
    ConnectionStatus,
    EventType,
    Health,
    Lifetimes,
    ReauthReason,
    Reminder,
    Transition,
)
from store.connections import Connections, connection_ref
from store.credentials import Credentials
from store.database import Database
from store.reminders import ReminderPlan, Reminders
from store.scope import Scope
from store.starting import start_options
from store.tables import EVENTS, Connection
from store.tenants import Tenants
from tests.store.conftest import NOW, make_endpoint

DAY = timedelta(days=1)
LIFETIMES = Lifetimes(expires_in=3600.0, renewable=True)


def expired(reason: ReauthReason = ReauthReason.ACCESS_REVOKED) -> Transition:
    return Transition(
        sequence=2,
        at=NOW,
        previous_status=ConnectionStatus.ACTIVE,
        status=ConnectionStatus.REAUTH_REQUIRED,
        health=Health.OK,
        reason=reason,
        event=EventType.EXPIRED,
    )


def reminder(sequence: int, days: float, number: int) -> Transition:
    return expired().model_copy(
        update={
            "sequence": sequence,
            "at": NOW + days * DAY,
            "previous_status": ConnectionStatus.REAUTH_REQUIRED,
            "event": EventType.EXPIRED_REMINDER,
            "reminder": Reminder(expired_at=NOW, number=number, total=3),
        }
    )


def reconnected(sequence: int, days: float) -> Transition:
    return expired().model_copy(
        update={
            "sequence": sequence,
            "at": NOW + days * DAY,
            "previous_status": ConnectionStatus.REAUTH_REQUIRED,
            "status": ConnectionStatus.ACTIVE,
            "reason": None,
            "event": EventType.REAUTHENTICATED,
        }
    )


async def plan(database: Database, connection: Connection, transitions: list[Transition]) -> ReminderPlan | None:
    for transition in transitions:
        await Connections(database).record(connection_ref(connection), transition, NOW)
    row = await Connections(database).get(Scope.of(connection_ref(connection)), connection.id)
    assert row is not None
    return await Reminders(database).plan(row)


async def test_reminder_goes_to_who_wants_reminders_and_heard_of_the_expiry(
    database: Database, scope: Scope, connection: Connection
) -> None:
    await make_endpoint(database, scope, EventType.EXPIRED, id="we_all")
    await make_endpoint(database, scope, EventType.EXPIRED, id="we_none", reminders=False)
    await make_endpoint(database, scope, EventType.DELETED, id="we_other")
    await make_endpoint(database, scope, EventType.EXPIRED, id="we_elsewhere", applications=["another"])
    ref, connections = connection_ref(connection), Connections(database)
    await connections.record(ref, expired(), NOW)
    for _ in range(2):
        announced = await connections.record(ref, reminder(3, 1, 1), NOW)
        assert announced is not None and announced.endpoints == ["we_all"]
    async with database.reading() as read:
        mine = EVENTS.c.connection_id == connection.id
        bodies = (await read.execute(select(EVENTS.c.body).where(mine).order_by(EVENTS.c.sequence))).scalars().all()
    assert [body["event"] for body in bodies] == ["Connection Expired", "Connection Expired Reminder"]
    told = {"sequence": 3, "previous_sequence": 2, "reminder": 1, "reminders": 3, "expired_at": NOW.isoformat()}
    assert bodies[1] == {**bodies[0], **told} | {
        name: bodies[1][name] for name in ("event", "event_id", "createdAt", "previous_status")
    }
    row = await connections.get(scope, connection.id)
    assert row is not None and (row.status_since, row.sequence) == (NOW, 3)


@pytest.mark.parametrize(
    ("transitions", "reminded"),
    [
        ([expired()], 0),
        ([expired(), reminder(3, 1.01, 1)], 1),
        ([expired(), reminder(3, 5, 2)], 2),  # it stood for two
        ([expired(), reminder(3, 1, 1), reminder(4, 3, 2), reminder(5, 7, 3)], 3),
        # Those of an earlier expiry do not count.
        (
            [
                expired().model_copy(update={"at": NOW - 30 * DAY}),
                reminder(3, -20, 3),
                reconnected(4, -1),
                expired().model_copy(update={"sequence": 5}),
            ],
            0,
        ),
    ],
)
async def test_workflow_that_was_lost_is_started_with_what_is_left(
    database: Database, scope: Scope, connection: Connection, transitions: list[Transition], reminded: int
) -> None:
    reminders = await plan(database, connection, transitions)
    assert reminders == ReminderPlan([1.0, 3.0, 7.0], reminded)
    row = await Connections(database).get(scope, connection.id)
    stored = await Credentials(database).read(scope, connection.id)
    assert row is not None
    state = start_options(row, stored, LIFETIMES, reminders, NOW + 40 * DAY, "http://127.0.0.1")["arg"]
    assert isinstance(state, ConnectionState)
    due = [NOW + days * DAY for days in (1, 3, 7)][reminded:]
    assert state.remind_at == (due[0] if due else None)


async def test_present_setting_counts_for_what_is_left(
    database: Database, scope: Scope, connection: Connection
) -> None:
    await Tenants(database).change_settings(scope, {"reminder_days": [2.0, 5.0]})
    assert await plan(database, connection, [expired(), reminder(3, 3, 1)]) == ReminderPlan([2.0, 5.0], 1)


async def test_nobody_is_reminded_of_what_cannot_be_answered_or_is_well(
    database: Database, connection: Connection
) -> None:
    assert await plan(database, connection, [expired(ReauthReason.APPLICATION_DELETED)]) is None
    assert await plan(database, connection, [reconnected(3, 1)]) is None
