"""An endpoint that was down has everything sent once more: by one request, whatever fails meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import update
from temporalio.testing import WorkflowEnvironment

from dev.listener import Listener
from everlink import Client, EverlinkError, NotFound
from everlink.contract import DeliveryStatus, DeliveryTask, EventType, Workflow
from everlink.models import Replay
from store import replays
from store.database import utc_now
from store.outbox import NewEvent, announce, event_head
from store.scope import Scope
from store.starting import delivery_start_options
from store.strays import ScheduledDelivery
from store.tables import DELIVERIES, Delivery
from tests.api.conftest import Everlink, running, settings_for
from tests.api.removing import scope_of
from workflows.delivery import DELAYS

KIND = EventType.APPLICATION_REFUSED


@pytest.fixture
async def client(everlink: Everlink, product: httpx.AsyncClient) -> AsyncIterator[Client]:
    async with Client(everlink.url, product.headers["x-api-key"]) as one:
        yield one


async def happen(everlink: Everlink, scope: Scope, count: int) -> list[str]:
    """Events of an application; nobody has started their deliveries."""
    ids = [str(uuid4()) for _ in range(count)]
    for event_id in ids:
        now = utc_now()
        event = NewEvent(event_id, KIND, "sandbox", event_head(scope, KIND, "sandbox", event_id, now))
        async with everlink.made.database.writing() as writing:
            await announce(everlink.made.database, writing, scope, event, now)
    return ids


async def close(everlink: Everlink, events: Sequence[str], status: DeliveryStatus = DeliveryStatus.FAILED) -> None:
    """As after three days of attempts."""
    async with everlink.made.database.writing() as writing:
        values = {"status": status, "attempts": len(DELAYS), "next_attempt_at": None}
        await writing.execute(update(DELIVERIES).where(DELIVERIES.c.event_id.in_(events)).values(values))


async def until_over(client: Client, replay: Replay, *, scheduled: int = 0, seconds: float = 40) -> Replay:
    async with asyncio.timeout(seconds):
        while replay.finished_at is None or replay.scheduled > scheduled:
            await asyncio.sleep(0.05)
            replay = await client.replays.get(replay.id)
    return replay


async def test_what_an_endpoint_missed_is_sent_once_more_under_the_same_ids(
    everlink: Everlink, product: httpx.AsyncClient, client: Client
) -> None:
    scope = await scope_of(everlink.made, product)
    async with Listener() as listener:
        endpoint = await listener.subscribe(product)
        await close(everlink, failed := await happen(everlink, scope, 130))
        await close(everlink, delivered := await happen(everlink, scope, 2), DeliveryStatus.DELIVERED)
        await client.webhook_endpoints.change(endpoint, is_enabled=False)
        with pytest.raises(EverlinkError) as refused:
            await client.webhook_endpoints.replay(endpoint)
        assert (refused.value.status, refused.value.error_code) == (409, "endpoint_disabled")
        while_disabled = await happen(everlink, scope, 3)
        await client.webhook_endpoints.change(endpoint, is_enabled=True)

        begun = await client.webhook_endpoints.replay(endpoint)
        assert (begun.after, begun.until, begun.position, begun.finished_at) == (0, 135, 0, None)
        over = await until_over(client, begun)
        assert (over.replayed, over.delivered, over.failed, over.position, over.note) == (133, 133, 0, 135, "")
        assert sorted(listener.ids) == sorted([*failed, *while_disabled])  # each once

        again = await until_over(client, await client.webhook_endpoints.replay(endpoint))
        assert (again.replayed, len(listener.ids)) == (0, 133)
        all_ = await until_over(client, await client.webhook_endpoints.replay(endpoint, after=130, missed_only=False))
        assert (all_.after, all_.replayed, all_.delivered) == (130, 5, 5)
        assert sorted(listener.ids[133:]) == sorted([*delivered, *while_disabled])
        assert listener.refused == 0
    with pytest.raises(NotFound):
        await client.replays.get("rep_unknown")


async def test_one_event_is_sent_once_more_and_not_twice(
    everlink: Everlink, product: httpx.AsyncClient, client: Client
) -> None:
    scope = await scope_of(everlink.made, product)
    async with Listener() as listener:
        endpoint = await listener.subscribe(product)
        [event] = await happen(everlink, scope, 1)
        await close(everlink, [event])
        answers = await asyncio.gather(*(client.events.replay(event, endpoint) for _ in range(5)))
        assert {answer.event_id for answer in answers} == {event}
        await listener.wait_for(KIND, "sandbox", None)
        await until_closed(everlink, scope, event, endpoint)
        assert listener.ids[0] == event and len(listener.ids) <= len(answers)
        sent = len(listener.ids)
        assert (await client.events.replay(event, endpoint)).status == "scheduled"
        await until_closed(everlink, scope, event, endpoint)
        assert listener.ids == [event] * (sent + 1)
        for unknown in ((event, "we_unknown"), ("unknown", endpoint)):
            with pytest.raises(NotFound):
                await client.events.replay(*unknown)
        await client.webhook_endpoints.change(endpoint, is_enabled=False)
        with pytest.raises(EverlinkError) as refused:
            await client.events.replay(event, endpoint)
        assert (refused.value.status, refused.value.error_code) == (409, "endpoint_disabled")


async def until_closed(everlink: Everlink, scope: Scope, event: str, endpoint: str) -> Delivery:
    async with asyncio.timeout(20):
        while (row := await delivery(everlink, scope, event, endpoint)).status is DeliveryStatus.SCHEDULED:
            await asyncio.sleep(0.02)
    return row


async def delivery(everlink: Everlink, scope: Scope, event: str, endpoint: str) -> Delivery:
    query = DELIVERIES.select().where(
        DELIVERIES.c.event_id == event, DELIVERIES.c.endpoint_id == endpoint, scope.owns(DELIVERIES)
    )
    async with everlink.made.database.reading() as reading:
        return Delivery(**(await reading.execute(query)).one()._mapping)


async def test_endpoint_has_one_replay_at_a_time_and_one_that_is_disabled_stops_it(
    everlink: Everlink, product: httpx.AsyncClient, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replays, "PAGE", 5)
    monkeypatch.setattr(replays, "MOST_ON_THEIR_WAY", 10)
    scope = await scope_of(everlink.made, product)
    async with Listener() as listener:
        listener.failing = True
        endpoint = await listener.subscribe(product)
        await close(everlink, await happen(everlink, scope, 20))
        begun = await client.webhook_endpoints.replay(endpoint)
        with pytest.raises(EverlinkError) as refused:
            await client.webhook_endpoints.replay(endpoint)
        assert (refused.value.status, refused.value.error_code) == (409, "replay_under_way")
        async with asyncio.timeout(60):
            while (found := await client.replays.get(begun.id)).scheduled < 10:
                await asyncio.sleep(0.05)
        assert (found.position, found.finished_at) == (10, None)
        await client.webhook_endpoints.change(endpoint, is_enabled=False)
        over = await until_over(client, begun, scheduled=10)
        assert (over.replayed, over.note) == (10, "stopped: the endpoint was disabled")
        await client.webhook_endpoints.remove(endpoint)
        with pytest.raises(NotFound):
            await client.replays.get(begun.id)


@pytest.mark.parametrize(
    "body", [{"after": -1}, {"after": 2**63}, {"since": "2026-01-01"}, {"since": 1767225600}, {"missed_only": "maybe"}]
)
async def test_place_that_is_none_is_refused(
    everlink: Everlink, product: httpx.AsyncClient, body: dict[str, Any]
) -> None:
    answer = await product.post(f"/v1/webhook-endpoints/we_{uuid4().hex}/replay", json=body)
    assert (answer.status_code, answer.json()["error_code"]) == (422, "invalid_request")


@pytest.mark.timeout(180)
async def test_endpoint_that_was_down_for_all_attempts_gets_every_event_once_more(
    sqlite_url: str, tmp_path: Path, skipping: WorkflowEnvironment
) -> None:
    """Its attempts take three days, which are skipped."""
    settings = settings_for(
        sqlite_url, tmp_path, "http://127.0.0.1:9", skipping.client.service_client.config.target_host
    )
    async with running(settings, "") as everlink, Listener() as listener:
        product = await everlink.product()
        scope = await scope_of(everlink.made, product)
        listener.failing = True
        endpoint = await listener.subscribe(product)
        events = await happen(everlink, scope, 5)
        for event in events:
            task = DeliveryTask(
                org_id=scope.org_id, environment=scope.environment, event_id=event, endpoint_id=endpoint
            )
            options = delivery_start_options(ScheduledDelivery(task, KIND, "sandbox", None))
            await everlink.made.temporal.start_workflow(Workflow.DELIVERY, **options)
        await skipping.sleep(timedelta(days=5))
        for event in events:
            row = await until_closed(everlink, scope, event, endpoint)
            assert (row.status, row.round, row.attempts) == (DeliveryStatus.FAILED, 0, len(DELAYS))
        listener.failing = False
        async with Client(everlink.url, product.headers["x-api-key"]) as client:
            over = await until_over(client, await client.webhook_endpoints.replay(endpoint))
        assert (over.replayed, over.delivered) == (5, 5)
        assert sorted(listener.ids) == sorted(events)
        for event in events:
            row = await until_closed(everlink, scope, event, endpoint)
            assert (row.status, row.round, row.attempts) == (DeliveryStatus.DELIVERED, 1, 1)
