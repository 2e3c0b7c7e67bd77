"""What a webhook endpoint wants and how it stands: applications, reminders, headers at rest, disabled and enabled."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import select, update

from everlink.contract import DisabledReason
from store.database import utc_now
from store.tables import WEBHOOK_ENDPOINTS
from tests.api.conftest import SAVE_KEY, Everlink
from tests.api.test_webhook_endpoints import SEED, V1, Receiver, add, receiver

__all__ = ["receiver"]

SEED_BODY = {"webhook_url": "http://127.0.0.1:9/", "webhook_events": ["Connection Expired"]}
JSON = {"content-type": "application/json"}


async def row_of(everlink: Everlink, endpoint_id: str) -> Any:
    async with everlink.made.database.reading() as reading:
        mine = select(WEBHOOK_ENDPOINTS).where(WEBHOOK_ENDPOINTS.c.id == endpoint_id)
        return (await reading.execute(mine)).one()


async def change_row(everlink: Everlink, endpoint_id: str, **values: Any) -> None:
    async with everlink.made.database.writing() as writing:
        mine = WEBHOOK_ENDPOINTS.c.id == endpoint_id
        await writing.execute(update(WEBHOOK_ENDPOINTS).where(mine).values(values))


async def test_endpoint_wants_everything_until_it_says_otherwise(
    product: httpx.AsyncClient,
) -> None:
    made = await add(product)
    assert (made["applications"], made["reminders"]) == ([], True)
    path = f"{V1}/{made['id']}"
    change = {"applications": ["slack", "sandbox", "slack"], "reminders": False}
    changed = (await product.patch(path, json=change)).json()
    assert (changed["applications"], changed["reminders"]) == (["slack", "sandbox"], False)
    assert (await product.patch(path, json={"method": "PUT"})).json() == {**changed, "method": "PUT"}
    assert (await product.patch(path, json={"applications": []})).json()["applications"] == []
    other = await add(product, applications=["sandbox-key", "sandbox-key"], reminders=False)
    assert (other["applications"], other["reminders"]) == (["sandbox-key"], False)


async def test_events_of_other_applications_stay_away(
    everlink: Everlink, product: httpx.AsyncClient, receiver: Receiver
) -> None:
    await add(product, url=receiver.url, applications=["sandbox"])
    async with everlink.customer() as ada:
        _, key = await ada.create_key()
    assert (await product.put(SAVE_KEY, json={"api_key": key})).status_code == 200
    await everlink.connect(product)
    _, _, body = await receiver.next()
    assert json.loads(body)["slug"] == "sandbox" and receiver.arrived.empty()
    [other] = (await product.get("/v1/connections", params={"application": "sandbox-key"})).json()["connections"]
    assert (await product.get(f"/v1/connections/{other['id']}/deliveries")).json() == []


async def test_endpoint_of_the_seeds_routes_is_not_reminded(product: httpx.AsyncClient) -> None:
    made = (await product.post(SEED, json=SEED_BODY)).json()
    path = f"{V1}/{made['_id']}"
    assert (await product.get(path)).json()["reminders"] is False
    assert (await product.patch(path, json={"reminders": True})).json()["reminders"] is True
    await product.put(f"{SEED}/{made['_id']}", json={"method": "PUT"})
    assert (await product.get(path)).json()["reminders"] is True  # it was asked for


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (b'{"applications": ["never-was"]}', "unknown_application"),
        (b'{"applications": ["sandbox", "Sandbox"]}', "unknown_application"),
        (b'{"applications": [""]}', "unknown_application"),
        (b'{"applications": "sandbox"}', "invalid_request"),
        (b'{"applications": null}', "invalid_request"),
        (b'{"applications": [null]}', "invalid_request"),
        (b'{"applications": [7]}', "invalid_request"),
        (b'{"applications": ["sandbox\\u0000"]}', "invalid_request"),
        (b'{"applications": ["sandbox\\ud800"]}', "invalid_request"),
        (b'{"applications": ["%s"]}' % (b"x" * 101), "invalid_request"),
        (b'{"applications": [%s"sandbox"]}' % (b'"sandbox",' * 1000), "invalid_request"),
        (b'{"reminders": null}', "invalid_request"),
        (b'{"reminders": "perhaps"}', "invalid_request"),
        (b'{"headers": {"x-a": "planted\\ud800"}}', "invalid_request"),
        (b'{"headers": {"x-a\\u0000": "planted"}}', "invalid_request"),
    ],
    ids=lambda value: str(value)[:60],
)
async def test_wish_that_is_none_changes_nothing(product: httpx.AsyncClient, change: bytes, code: str) -> None:
    made = await add(product)
    path = f"{V1}/{made['id']}"
    before = (await product.get(path)).json()
    answer = await product.patch(path, content=change, headers=JSON)
    assert (answer.status_code, answer.json()["error_code"]) == (422, code) and "planted" not in answer.text
    assert (await product.get(path)).json() == before
    body = {"url": "http://127.0.0.1:9/", "events": ["Connection Expired"]}
    whole = json.dumps(body).encode()[:-1] + b", " + change[1:]
    assert (await product.post(V1, content=whole, headers=JSON)).status_code == 422
    assert [one["id"] for one in (await product.get(V1)).json()] == [made["id"]]


async def test_header_values_are_sealed_at_rest_and_the_seeds_face_shows_them(
    everlink: Everlink, product: httpx.AsyncClient
) -> None:
    made = await add(product, headers={"x-b": "planted-1", "Authorization": "Bearer planted-2"})
    path, seed = f"{V1}/{made['id']}", f"{SEED}/{made['id']}"
    assert made["header_names"] == ["Authorization", "x-b"]
    assert "planted" not in repr(await row_of(everlink, made["id"]))
    assert (await product.get(seed)).json()["webhook_headers"]["x-b"] == "planted-1"
    changed = await product.put(seed, json={"webhook_headers": {"x-c": "planted-3"}})
    assert (
        changed.json()["webhook_headers"]
        == {"x-c": "planted-3"}
        == (await product.get(SEED)).json()[0]["webhook_headers"]
    )
    assert (await product.get(path)).json()["header_names"] == ["x-c"]
    row = await row_of(everlink, made["id"])
    assert "planted" not in repr(row) and row.headers == {}
    assert (await product.put(seed, json={"method": "PUT"})).json()["webhook_headers"] == {"x-c": "planted-3"}
    assert (await product.patch(path, json={"headers": {}})).json()["header_names"] == []
    assert (await row_of(everlink, made["id"])).sealed_headers is None
    lines = [json.loads(line) for line in (await product.get("/v1/export")).text.splitlines()]
    [exported] = [line for line in lines if line["record"] == "webhook_endpoint"]
    assert exported["header_names"] == [] and not any(name == "secret" or "sealed" in name for name in exported)


async def test_row_of_an_older_version_is_shown_and_sent_as_it_was_until_it_is_changed(
    everlink: Everlink, product: httpx.AsyncClient, receiver: Receiver
) -> None:
    made = await add(product, url=receiver.url)
    await change_row(everlink, made["id"], headers={"x-old": "planted"})
    path, seed = f"{V1}/{made['id']}", f"{SEED}/{made['id']}"
    assert (await product.get(path)).json()["header_names"] == ["x-old"]
    assert (await product.get(seed)).json()["webhook_headers"] == {"x-old": "planted"}
    await everlink.connect(product)
    assert (await receiver.next())[1]["x-old"] == "planted"
    await product.patch(path, json={"headers": {"x-new": "1"}})
    assert (await row_of(everlink, made["id"])).headers == {}
    assert (await product.get(seed)).json()["webhook_headers"] == {"x-new": "1"}


@pytest.mark.parametrize("reason", DisabledReason)
async def test_endpoint_that_everlink_disabled_says_why_until_it_is_enabled(
    everlink: Everlink, product: httpx.AsyncClient, reason: DisabledReason
) -> None:
    made, at = await add(product), utc_now()
    path = f"{V1}/{made['id']}"
    past = {"disabled_reason": reason, "disabled_at": at, "failing_since": at - timedelta(days=5), "failed_at": at}
    await change_row(everlink, made["id"], is_enabled=False, **past)
    shown = (await product.get(path)).json()
    assert (shown["is_enabled"], shown["disabled_reason"]) == (False, reason)
    assert shown["disabled_at"] and shown["failing_since"]
    kept = (await product.patch(path, json={"method": "PUT", "is_enabled": False})).json()
    assert kept == {**shown, "method": "PUT"}
    enabled = (await product.patch(path, json={"is_enabled": True})).json()
    nothing = {"disabled_reason": None, "disabled_at": None, "failing_since": None}
    assert enabled == {**kept, **nothing, "is_enabled": True}
    assert (await row_of(everlink, made["id"])).failed_at is None
    off = (await product.patch(path, json={"is_enabled": False})).json()
    assert off == {**enabled, "is_enabled": False}  # by its owner, which needs no reason


async def test_seeds_face_enables_as_well(everlink: Everlink, product: httpx.AsyncClient) -> None:
    made = await add(product)
    past = {"disabled_reason": DisabledReason.GONE, "disabled_at": utc_now()}
    await change_row(everlink, made["id"], is_enabled=False, **past)
    assert (await product.put(f"{SEED}/{made['id']}", json={"is_enabled": True})).json()["is_enabled"] is True
    assert (await product.get(f"{V1}/{made['id']}")).json()["disabled_reason"] is None


async def test_failures_of_another_address_are_forgotten(everlink: Everlink, product: httpx.AsyncClient) -> None:
    made = await add(product)
    path = f"{V1}/{made['id']}"
    await change_row(everlink, made["id"], failing_since=utc_now(), failed_at=utc_now())
    assert (await product.patch(path, json={"url": made["url"]})).json()["failing_since"]
    assert (await product.patch(path, json={"url": "http://127.0.0.1:9/other"})).json()["failing_since"] is None


async def test_changes_at_once_leave_one_whole_set_of_headers(everlink: Everlink, product: httpx.AsyncClient) -> None:
    made = await add(product)
    path = f"{V1}/{made['id']}"
    await asyncio.gather(*(product.patch(path, json={"headers": {f"x-{n}": f"of {n}"}}) for n in range(8)))
    [name] = (await product.get(path)).json()["header_names"]
    shown = (await product.get(f"{SEED}/{made['id']}")).json()["webhook_headers"]
    assert shown == {name: f"of {name.removeprefix('x-')}"}
