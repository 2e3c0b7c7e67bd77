"""A transition and its event are one transaction, written once, in order."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from sqlalchemy import func, select

from everlink.contract import (
    ConnectionRef,
    ConnectionStatus,
    Environment,
    EventType,
    Health,
    ReauthReason,
    Transition,
)
from store.connections import Connections, connection_ref, event_body
from store.database import Database
from store.scope import Scope
from store.tables import DELIVERIES, EVENTS, TRANSITIONS, Connection
from store.webhooks import Webhooks
from tests.store.conftest import NOW, make_endpoint


@dataclass
class Outbox:
    database: Database
    scope: Scope
    ref: ConnectionRef

    async def record(self, transition: Transition) -> list[str]:
        """The endpoints that its event is due at."""
        announced = await Connections(self.database).record(self.ref, transition, NOW)
        return [] if announced is None else announced.endpoints

    async def count(self) -> tuple[int, ...]:
        async with self.database.reading() as read:
            tables = (TRANSITIONS, EVENTS, DELIVERIES)
            return tuple([(await read.execute(select(func.count()).select_from(t))).scalar_one() for t in tables])


@pytest.fixture
async def outbox(database: Database, scope: Scope, connection: Connection) -> Outbox:
    wanted = [[EventType.EXPIRED, EventType.CREATED], [EventType.DELETED]]
    for number, events in enumerate(wanted):
        await make_endpoint(database, scope, *events, id=f"we_{number}")
    return Outbox(database, scope, connection_ref(connection))


def expired(sequence: int = 2) -> Transition:
    return Transition(
        sequence=sequence,
        at=NOW,
        previous_status=ConnectionStatus.ACTIVE,
        status=ConnectionStatus.REAUTH_REQUIRED,
        health=Health.OK,
        reason=ReauthReason.ACCESS_REVOKED,
        event=EventType.EXPIRED,
    )


async def test_recording_twice_makes_no_twin(outbox: Outbox) -> None:
    for _ in range(3):
        assert await outbox.record(expired()) == ["we_0"]
    assert await outbox.count() == (1, 1, 1)


async def test_older_transition_does_not_take_the_state_back(outbox: Outbox) -> None:
    await outbox.record(expired(sequence=5))
    await outbox.record(
        Transition(
            sequence=4,
            at=NOW,
            previous_status=ConnectionStatus.PENDING,
            status=ConnectionStatus.ACTIVE,
            health=Health.OK,
            event=EventType.CREATED,
        )
    )
    row = await Connections(outbox.database).get(outbox.scope, outbox.ref.connection_id)
    assert row is not None and (row.status, row.reason, row.sequence) == ("reauth_required", "access_revoked", 5)
    assert await outbox.count() == (2, 2, 2)


async def test_event_names_the_one_before_it_also_where_it_is_recorded_again(outbox: Outbox) -> None:
    """So a receiver knows whether it has missed one: transitions without an event take numbers, too."""
    silent = expired(sequence=4).model_copy(update={"event": None})
    for transition in (expired(), expired(), expired(sequence=3), silent, expired(sequence=6), expired(sequence=3)):
        await outbox.record(transition)
    async with outbox.database.reading() as read:
        bodies = (await read.execute(select(EVENTS.c.body).order_by(EVENTS.c.sequence))).scalars()
    assert [(body["sequence"], body["previous_sequence"]) for body in bodies] == [(2, None), (3, 2), (6, 3)]


async def test_receipt_without_an_event_announces_nothing(outbox: Outbox) -> None:
    assert await outbox.record(expired().model_copy(update={"event": None})) == []
    assert await outbox.count() == (1, 0, 0)


async def test_disabled_endpoint_gets_nothing(outbox: Outbox) -> None:
    await Webhooks(outbox.database).change(outbox.scope, "we_0", {"is_enabled": False})
    assert await outbox.record(expired()) == []


async def test_removed_endpoint_takes_its_deliveries_along(outbox: Outbox) -> None:
    await outbox.record(expired())
    await Webhooks(outbox.database).remove(outbox.scope, "we_0")
    assert await outbox.count() == (1, 1, 0)


def test_body_has_the_seed_fields_exactly_and_ours_beside_them() -> None:
    ref = ConnectionRef(
        org_id="645270e37917442c4307297a",
        environment=Environment.TEST,
        connection_id="con_1",
        slug="pipedrive",
        linked_account_id="12345",
        identifier="ada",
        auth_type="oauth2",
    )
    at = NOW.replace(2023, 11, 7, 8, 38, 33)
    body = event_body(ref, expired().model_copy(update={"at": at}), previous_sequence=1)
    seed = {
        "linked_account_id": "12345",
        "org_id": "645270e37917442c4307297a",
        "environment": "test",
        "type": "General",
        "event": "Connection Expired",
        "slug": "pipedrive",
        "createdAt": "Tue, 07 Nov 2023 08:38:33 GMT",
    }
    assert list(body.items())[: len(seed)] == list(seed.items())
    assert set(body) - set(seed) == {
        "event_id", "connection_id", "identifier", "auth_type", "reason", "previous_status", "status", "sequence",
        "previous_sequence",
    }  # fmt: skip
