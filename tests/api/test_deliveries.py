"""What was delivered, as a customer reads it: lists of deliveries, the attempts of one, and a test on request."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from standardwebhooks.webhooks import Webhook

from everlink.contract import DeliveryStatus, EventType, KeyScope
from store.database import utc_now
from store.outbox import NewEvent, announce, event_head
from store.scope import Scope
from store.strays import Strays
from store.tables import DELIVERIES, DELIVERY_ATTEMPTS
from store.vault import Kind
from tests.api.conftest import Everlink, running, settings_for
from tests.api.removing import scope_of
from tests.api.test_webhook_endpoints import V1, Receiver, add, receiver

__all__ = ["receiver"]

KIND = EventType.APPLICATION_REFUSED
EVENTS = "/v1/events"


async def announce_many(everlink: Everlink, product: httpx.AsyncClient, count: int) -> list[str]:
    """Events that nobody has begun to deliver; answers their ids."""
    made, now = everlink.made, utc_now()
    scope, ids = await scope_of(made, product), [str(uuid4()) for _ in range(count)]
    for event_id in ids:
        event = NewEvent(event_id, KIND, "sandbox", event_head(scope, KIND, "sandbox", event_id, now))
        async with made.database.writing() as writing:
            await announce(made.database, writing, scope, event, now)
    return ids


async def change_delivery(everlink: Everlink, event_id: str, **values: Any) -> None:
    async with everlink.made.database.writing() as writing:
        await writing.execute(DELIVERIES.update().where(DELIVERIES.c.event_id == event_id).values(**values))


async def add_attempt(everlink: Everlink, scope: Scope, event_id: str, endpoint_id: str, **values: Any) -> None:
    row = {
        **scope.columns,
        "event_id": event_id,
        "endpoint_id": endpoint_id,
        "round": 0,
        "attempt": 1,
        "at": utc_now(),
        "seconds": 0.25,
        "url": "http://127.0.0.1:9/",
        "method": "POST",
        "request_headers": {"webhook-id": event_id, "content-type": "application/json"},
        "status": None,
        "note": "the endpoint cannot be reached",
        "answer": None,
        **values,
    }
    async with everlink.made.database.writing() as writing:
        await writing.execute(DELIVERY_ATTEMPTS.insert().values(row))


async def until(product: httpx.AsyncClient, event_id: str, endpoint_id: str, status: str) -> dict[str, Any]:
    async with asyncio.timeout(20):
        while True:
            found: dict[str, Any] = (await product.get(f"{EVENTS}/{event_id}/deliveries/{endpoint_id}")).json()
            if found["delivery"]["status"] == status:
                return found
            await asyncio.sleep(0.05)


async def test_deliveries_of_an_endpoint_are_listed_from_the_newest_page_by_page(
    everlink: Everlink, product: httpx.AsyncClient
) -> None:
    endpoint, other = [(await add(product, events=[KIND]))["id"] for _ in range(2)]
    ids = await announce_many(everlink, product, 5)
    await change_delivery(everlink, ids[1], status=DeliveryStatus.FAILED, next_attempt_at=None, attempts=10)
    path, seen, cursor = f"{V1}/{endpoint}/deliveries", [], None
    for size in (2, 2, 1):
        page = (await product.get(path, params={"limit": 2, **({"cursor": cursor} if cursor else {})})).json()
        assert len(page["deliveries"]) == size
        seen += page["deliveries"]
        cursor = page["next_cursor"]
    assert cursor is None and [one["event_id"] for one in seen] == ids[::-1]
    assert {(one["endpoint_id"], one["event"], one["round"]) for one in seen} == {(endpoint, KIND, 0)}
    assert [one["position"] for one in seen] == sorted((one["position"] for one in seen), reverse=True)
    [failed] = (await product.get(path, params={"status": "failed"})).json()["deliveries"]
    assert (failed["event_id"], failed["attempts"], failed["next_attempt_at"]) == (ids[1], 10, None)
    assert failed == seen[3]
    # A cursor is of one endpoint.
    cursor = (await product.get(path, params={"limit": 2})).json()["next_cursor"]
    wrong = await product.get(f"{V1}/{other}/deliveries", params={"cursor": cursor})
    assert (wrong.status_code, wrong.json()["error_code"]) == (422, "invalid_cursor")


@pytest.mark.parametrize(
    "query",
    ["cursor=", "cursor=abc", "cursor=%FF", "cursor=%ED%A0%80", "cursor=" + "a" * 201, "cursor=a%00", "status=lost",
     "status=", "limit=0", "limit=201", "limit=two"],
)  # fmt: skip
async def test_page_that_is_none_is_a_422(product: httpx.AsyncClient, query: str) -> None:
    endpoint = await add(product)
    answer = await product.get(f"{V1}/{endpoint['id']}/deliveries?{query}")
    assert answer.status_code == 422 and answer.json()["error_code"] in ("invalid_request", "invalid_cursor")


async def test_event_is_shown_at_each_of_its_endpoints_with_its_attempts(
    everlink: Everlink, product: httpx.AsyncClient
) -> None:
    scope = await scope_of(everlink.made, product)
    endpoint, other = [(await add(product, events=[KIND]))["id"] for _ in range(2)]
    await add(product, events=["Connection Created"])
    [event] = await announce_many(everlink, product, 1)
    listed = (await product.get(f"{EVENTS}/{event}/deliveries")).json()
    assert [one["endpoint_id"] for one in listed] == sorted([endpoint, other])
    said = {"headers": {"x-said": "planted"}, "body": "no \u0000 <b>", "complete": False}
    seal = everlink.made.vault.seal
    answer = await seal(scope, Kind.WEBHOOK_ANSWER, endpoint, json.dumps(said).encode())
    await add_attempt(everlink, scope, event, endpoint)
    await add_attempt(everlink, scope, event, endpoint, attempt=2, status=500, note="HTTP 500", answer=answer)
    await add_attempt(everlink, scope, event, endpoint, round=1, method="PUT")
    await add_attempt(everlink, scope, event, other)
    shown = await product.get(f"{EVENTS}/{event}/deliveries/{endpoint}")
    assert shown.headers["cache-control"] == "no-store" and "etag" not in shown.headers
    found = shown.json()
    assert found["delivery"] in listed and found["body"]["event_id"] == event
    assert [(one["round"], one["attempt"]) for one in found["attempts"]] == [(0, 1), (0, 2), (1, 1)]
    first, second, third = found["attempts"]
    assert (first["status"], first["answer"], first["seconds"]) == (None, None, 0.25)
    assert (second["status"], second["note"], second["answer"]) == (500, "HTTP 500", said)
    assert third["method"] == "PUT" and first["request_headers"]["webhook-id"] == event


async def test_attempts_are_shown_to_admins_and_lists_to_readers(
    everlink: Everlink, product: httpx.AsyncClient
) -> None:
    scope = await scope_of(everlink.made, product)
    endpoint = (await add(product, events=[KIND]))["id"]
    [event] = await announce_many(everlink, product, 1)
    key = await everlink.made.api_keys.add(scope, "reader", utc_now(), scopes=[KeyScope.READ])
    async with httpx.AsyncClient(base_url=everlink.url, headers={"x-api-key": key}) as reader:
        assert (await reader.get(f"{EVENTS}/{event}/deliveries")).status_code == 200
        assert (await reader.get(f"{V1}/{endpoint}/deliveries")).status_code == 200
        for answer in (
            await reader.get(f"{EVENTS}/{event}/deliveries/{endpoint}"),
            await reader.post(f"{V1}/{endpoint}/test"),
            await reader.post(f"{V1}/{endpoint}/rotate-secret"),
        ):
            assert (answer.status_code, answer.json()["required_scopes"]) == (403, ["admin"])


async def test_what_is_not_there_is_a_404_that_says_what(everlink: Everlink, product: httpx.AsyncClient) -> None:
    endpoint = (await add(product, events=["Connection Created"]))["id"]
    [event] = await announce_many(everlink, product, 1)
    assert (await product.get(f"{EVENTS}/{event}/deliveries")).json() == []
    for method, path, code in (
        ("GET", f"{EVENTS}/{uuid4()}/deliveries", "event_not_found"),
        ("GET", f"{EVENTS}/%F0%9F%94%92/deliveries", "event_not_found"),
        ("GET", f"{EVENTS}/{event}/deliveries/{endpoint}", "delivery_not_found"),
        ("GET", f"{EVENTS}/%ED%A0%80/deliveries/'", "delivery_not_found"),
        ("GET", f"{V1}/we_0/deliveries", "webhook_endpoint_not_found"),
        ("POST", f"{V1}/we_0/test", "webhook_endpoint_not_found"),
        ("POST", f"{V1}/we_0/rotate-secret", "webhook_endpoint_not_found"),
    ):
        answer = await product.request(method, path)
        assert (answer.status_code, answer.json()["error_code"]) == (404, code), path
    assert (await product.get(f"{EVENTS}/a%00/deliveries")).status_code == 422


async def test_test_arrives_at_this_endpoint_alone_and_its_delivery_can_be_read(
    product: httpx.AsyncClient, receiver: Receiver
) -> None:
    made = await add(product, url=receiver.url, applications=["slack"], events=["Connection Deleted"])
    other = await add(product, url=receiver.url, events=[KIND, "Connection Created"])
    sent = await product.post(f"{V1}/{made['id']}/test")
    assert sent.status_code == 202
    event = sent.json()["event_id"]
    _, headers, body = await receiver.next()
    told = Webhook(made["secret"]).verify(body, headers)
    assert headers["webhook-id"] == told["event_id"] == event
    assert (told["event"], told["type"], told["slug"]) == ("Webhook Test", "General", "")
    assert told["endpoint_id"] == made["id"] and told["environment"] == "test"
    found = await until(product, event, made["id"], "delivered")
    assert found["body"] == told
    [attempt] = found["attempts"]
    assert (attempt["status"], attempt["url"], attempt["method"]) == (204, receiver.url, "POST")
    assert attempt["request_headers"]["webhook-signature"] == headers["webhook-signature"]
    assert attempt["answer"] == {"headers": {"connection": "close"}, "body": "", "complete": True}
    listed = (await product.get(f"{EVENTS}/{event}/deliveries")).json()
    assert listed == [found["delivery"]] == (await product.get(f"{V1}/{made['id']}/deliveries")).json()["deliveries"]
    assert (await product.get(f"{V1}/{other['id']}/deliveries")).json()["deliveries"] == []
    assert receiver.arrived.empty()


async def test_disabled_endpoint_is_sent_no_test(product: httpx.AsyncClient) -> None:
    made = await add(product, is_enabled=False)
    answer = await product.post(f"{V1}/{made['id']}/test")
    assert (answer.status_code, answer.json()["error_code"]) == (409, "endpoint_disabled")
    assert (await product.get(f"{V1}/{made['id']}/deliveries")).json()["deliveries"] == []


async def test_test_that_is_sent_again_is_one_event(product: httpx.AsyncClient) -> None:
    made, key = await add(product), {"idempotency-key": uuid4().hex}
    answers = [await product.post(f"{V1}/{made['id']}/test", headers=key) for _ in range(2)]
    assert answers[0].content == answers[1].content
    assert len((await product.get(f"{V1}/{made['id']}/deliveries")).json()["deliveries"]) == 1


async def test_deliveries_of_a_connection_say_which_event_each_carries(
    everlink: Everlink, product: httpx.AsyncClient, receiver: Receiver
) -> None:
    made = await add(product, url=receiver.url)
    connection = await everlink.connect(product)
    await receiver.next()
    [delivery] = (await product.get(f"/v1/connections/{connection}/deliveries")).json()
    assert (delivery["event"], delivery["endpoint_id"], delivery["round"]) == ("Connection Created", made["id"], 0)
    found = await until(product, delivery["event_id"], made["id"], "delivered")
    assert found["body"]["connection_id"] == connection


@pytest.fixture
async def alone(sqlite_url: str, tmp_path: Path) -> AsyncIterator[Everlink]:
    """An API whose Temporal is away."""
    nowhere = "127.0.0.1:9"
    settings = settings_for(sqlite_url, tmp_path, f"http://{nowhere}", nowhere)
    async with running(settings, "", worker=False) as everlink:
        yield everlink


async def test_test_is_written_down_while_temporal_is_away_and_left_to_upkeep(alone: Everlink) -> None:
    product = await alone.product()
    made = await add(product)
    sent = await product.post(f"{V1}/{made['id']}/test")
    assert sent.status_code == 202
    [found] = (await product.get(f"{V1}/{made['id']}/deliveries")).json()["deliveries"]
    assert (found["event_id"], found["status"], found["attempts"]) == (sent.json()["event_id"], "scheduled", 0)
    later = utc_now() + timedelta(minutes=3)
    [overdue] = await Strays(alone.made.database).deliveries(later, ("", ""), 10)
    there = found["event_id"], made["id"], EventType.TEST
    assert (overdue.task.event_id, overdue.task.endpoint_id, overdue.event) == there
