"""Probing, revoking, recording and delivering: the real activities on a real store."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from standardwebhooks.webhooks import Webhook
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.deliver import DeliverActivities
from activities.farewell import FarewellActivities
from activities.probe import ProbeActivities
from everlink.contract import (
    AttemptOutcome,
    AttemptTask,
    CloseDeliveryTask,
    ConnectionStatus,
    CredentialOutcome,
    DeliveryTask,
    EventType,
    Health,
    Transition,
    Verdict,
)
from providers.catalog import CatalogEntry, DeadRule, Header, Probe
from providers.signature import new_secret
from store.credentials import StoredCredential
from store.database import utc_now
from store.tables import WebhookEndpoint
from store.vault import Kind
from tests.activities.conftest import Refreshing

SECRET = new_secret()


def change_entry(refreshing: Refreshing, **changes: object) -> None:
    catalog = refreshing.shared.catalog
    entry = catalog.get("test")
    assert entry is not None
    catalog._entries["test"] = CatalogEntry.model_validate({**entry.model_dump(), **changes})


async def probe(refreshing: Refreshing) -> CredentialOutcome:
    outcome: CredentialOutcome = await ActivityEnvironment().run(
        ProbeActivities(refreshing.shared).probe, refreshing.task
    )
    return outcome


async def test_probe_without_a_request_to_send_is_unsupported(refreshing: Refreshing) -> None:
    assert (await probe(refreshing)).verdict is Verdict.UNSUPPORTED


async def test_probe_believes_what_the_entry_says(refreshing: Refreshing) -> None:
    rules = (DeadRule(status=403),)
    header = Header(name="authorization", value="Bearer {access_token}")
    one = Probe(method="POST", url=refreshing.endpoint.url, headers=(header,), dead=rules, every_seconds=60)
    change_entry(refreshing, probe=one.model_dump())
    refreshing.endpoint.says(200, {})
    fine = await probe(refreshing)
    assert fine.verdict is Verdict.OK and fine.lifetimes is not None and fine.lifetimes.probe_every == 60
    refreshing.endpoint.says(403, {})
    assert (await probe(refreshing)).verdict is Verdict.DEAD
    refreshing.endpoint.says(401, {})  # this entry does not call a 401 dead
    with pytest.raises(ApplicationError):
        await probe(refreshing)


async def test_key_that_outlives_its_end_has_no_known_end(refreshing: Refreshing) -> None:
    change_entry(refreshing, probe=Probe(url=refreshing.endpoint.url).model_dump())
    refreshing.endpoint.says(200, {})
    for renewable, expected in ((True, 1.0), (False, None)):
        ended = StoredCredential(2, b"", renewable, utc_now() - timedelta(minutes=1))
        stored = await refreshing.shared.credentials.read(refreshing.scope, refreshing.task.ref.connection_id)
        assert stored is not None
        ended = replace(ended, sealed=stored.sealed, generation=stored.generation + 1)
        connection = refreshing.task.ref.connection_id
        assert await refreshing.shared.credentials.swap(connection, stored.generation, ended, utc_now())
        refreshing.task = refreshing.task.model_copy(update={"generation": ended.generation})
        outcome = await probe(refreshing)
        assert outcome.lifetimes is not None and outcome.lifetimes.expires_in == expected


async def revoke(refreshing: Refreshing) -> CredentialOutcome:
    outcome: CredentialOutcome = await ActivityEnvironment().run(
        FarewellActivities(refreshing.shared).revoke_upstream, refreshing.task
    )
    return outcome


async def test_revocation_gives_a_receipt_or_is_tried_again(refreshing: Refreshing) -> None:
    assert (await revoke(refreshing)).verdict is Verdict.UNSUPPORTED
    entry = refreshing.shared.catalog.get("test")
    assert entry is not None and entry.oauth2 is not None
    change_entry(refreshing, oauth2={**entry.oauth2.model_dump(), "revoke_url": refreshing.endpoint.url})
    refreshing.endpoint.says(200, b"")
    assert (await revoke(refreshing)).note == "revoked at the provider"
    assert refreshing.endpoint.requests[-1].startswith("token=refresh-1&")
    refreshing.endpoint.says(503, b"")
    with pytest.raises(ApplicationError):
        await revoke(refreshing)
    refreshing.endpoint.says(400, {"error": "unsupported_token_type"})
    assert (await revoke(refreshing)).verdict is Verdict.DEAD


async def due(refreshing: Refreshing) -> AttemptTask:
    """An event that is due at one endpoint."""
    shared, scope, ref = refreshing.shared, refreshing.scope, refreshing.task.ref
    endpoint = WebhookEndpoint(
        id="we_1",
        org_id=scope.org_id,
        environment=scope.environment,
        url=refreshing.endpoint.url,
        events=[EventType.CREATED.value],
        headers={"x-mine": "1", "webhook-id": "not mine to set"},
        secret=await shared.vault.seal(scope, Kind.WEBHOOK_SECRET, "we_1", SECRET.encode()),
        created_at=utc_now(),
    )
    await shared.webhooks.add(endpoint)
    transition = Transition(
        sequence=1,
        at=utc_now(),
        previous_status=ConnectionStatus.PENDING,
        status=ConnectionStatus.ACTIVE,
        health=Health.OK,
        event=EventType.CREATED,
    )
    announced = await shared.connections.record(ref, transition, utc_now())
    assert announced is not None and announced.endpoints == ["we_1"]
    event_id = str(transition.event_id(ref.connection_id))
    delivery = DeliveryTask(org_id=scope.org_id, environment=scope.environment, event_id=event_id, endpoint_id="we_1")
    return AttemptTask(delivery=delivery, attempt=1, next_delay=5.0)


async def deliver(refreshing: Refreshing, task: AttemptTask) -> AttemptOutcome:
    outcome: AttemptOutcome = await ActivityEnvironment().run(
        DeliverActivities(refreshing.shared).deliver_webhook, task
    )
    return outcome


async def test_delivery_is_signed_and_no_custom_header_passes_for_ours(refreshing: Refreshing) -> None:
    task = await due(refreshing)
    refreshing.endpoint.says(200, b"")
    assert (await deliver(refreshing, task)).delivered
    head = {name.lower(): value.strip() for name, _, value in (h.partition(":") for h in refreshing.endpoint.heads[-1])}
    body = Webhook(SECRET).verify(refreshing.endpoint.requests[-1], head)
    assert head["webhook-id"] == body["event_id"] == task.delivery.event_id and head["x-mine"] == "1"
    assert body["event"] == "Connection Created" and body["sequence"] == 1


@pytest.mark.parametrize("status", [199, 301, 307, 400, 404, 429, 500])
async def test_anything_but_a_2xx_is_a_failed_attempt(refreshing: Refreshing, status: int) -> None:
    task = await due(refreshing)
    refreshing.endpoint.says(status, b"", retry_after="30", location="http://169.254.169.254/")
    outcome = await deliver(refreshing, task)
    assert not outcome.delivered and not outcome.stop
    [row] = await refreshing.shared.webhooks.deliveries(refreshing.scope, refreshing.task.ref.connection_id)
    assert (row.status, row.attempts) == ("scheduled", 1) and row.next_attempt_at is not None


async def test_gone_endpoint_is_disabled_and_tried_no_more(refreshing: Refreshing) -> None:
    task = await due(refreshing)
    refreshing.endpoint.says(410, b"")
    assert (await deliver(refreshing, task)).stop
    sent = len(refreshing.endpoint.requests)
    again = await deliver(refreshing, task)
    assert again.stop and len(refreshing.endpoint.requests) == sent


async def test_removed_endpoint_gets_nothing_more(refreshing: Refreshing) -> None:
    task = await due(refreshing)
    await refreshing.shared.webhooks.remove(refreshing.scope, "we_1")
    assert (await deliver(refreshing, task)).stop and refreshing.endpoint.requests == []


async def test_closed_delivery_keeps_how_it_ended(refreshing: Refreshing) -> None:
    task = await due(refreshing)
    closing = CloseDeliveryTask(delivery=task.delivery, delivered=True, note="delivered (HTTP 200)")
    await ActivityEnvironment().run(DeliverActivities(refreshing.shared).close_delivery, closing)
    [row] = await refreshing.shared.webhooks.deliveries(refreshing.scope, refreshing.task.ref.connection_id)
    assert (row.status, row.last_note, row.next_attempt_at) == ("delivered", "delivered (HTTP 200)", None)
