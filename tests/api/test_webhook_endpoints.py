"""Webhook endpoints under both faces of the API, and the two signatures that a delivery carries."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from sqlalchemy import select
from standardwebhooks.webhooks import Webhook

from store.tables import WEBHOOK_ENDPOINTS
from tests.api.conftest import Everlink

V1 = "/v1/webhook-endpoints"
SEED = "/api/v2/public/webhook"
EVENTS = ["Connection Created", "Connection Deleted"]
LEGACY_SECRET = "planted-legacy-secret"


@dataclass
class Receiver:
    """Keeps what arrives: method, headers and raw body."""

    url: str = ""
    arrived: asyncio.Queue[tuple[str, dict[str, str], bytes]] = field(default_factory=asyncio.Queue)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = await reader.readexactly(int(headers["content-length"]))
        self.arrived.put_nowait((first.split()[0], headers, body))
        writer.write(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    async def next(self) -> tuple[str, dict[str, str], bytes]:
        return await asyncio.wait_for(self.arrived.get(), 20)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    one = Receiver()
    server = await asyncio.start_server(one.serve, "127.0.0.1", 0)
    one.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
    yield one
    server.close()


async def add(product: httpx.AsyncClient, **body: Any) -> dict[str, Any]:
    created = await product.post(V1, json={"url": "http://127.0.0.1:9/", "events": EVENTS, **body})
    assert created.status_code == 201, created.text
    return dict(created.json())


async def test_delivery_carries_both_signatures_over_the_same_bytes(
    everlink: Everlink, product: httpx.AsyncClient, receiver: Receiver
) -> None:
    legacy = {"secret": LEGACY_SECRET}
    made = await add(product, url=receiver.url, legacy_signature=legacy, headers={"x-mine": "1"})
    connection = await everlink.connect(product)
    _, headers, body = await receiver.next()
    assert Webhook(made["secret"]).verify(body, headers)["connection_id"] == connection
    assert headers["x-cobalt-signature"] == hmac.new(LEGACY_SECRET.encode(), body, hashlib.sha256).hexdigest()
    assert headers["x-mine"] == "1" and json.loads(body)["event"] == "Connection Created"

    off = await product.patch(f"{V1}/{made['id']}", json={"legacy_signature": None, "method": "PUT", "headers": {}})
    assert off.json()["legacy_signature"] is None
    assert (await product.delete(f"/v1/connections/{connection}")).status_code == 200
    method, headers, body = await receiver.next()
    assert method == "PUT" and Webhook(made["secret"]).verify(body, headers)["event"] == "Connection Deleted"
    assert not {"x-cobalt-signature", "x-mine"} & set(headers)


async def test_legacy_signature_is_off_until_asked_for_and_its_secret_never_shown(
    everlink: Everlink, product: httpx.AsyncClient
) -> None:
    made = await add(product)
    path = f"{V1}/{made['id']}"
    assert made["legacy_signature"] is None and (await product.get(path)).json()["legacy_signature"] is None
    on = await product.patch(path, json={"legacy_signature": {"secret": LEGACY_SECRET}})
    shown = [on, await product.get(path), await product.get(V1), await product.get(SEED)]
    assert on.json()["legacy_signature"] == {"header": "x-cobalt-signature"}
    assert not any("planted" in answer.text or "whsec" in answer.text for answer in shown)
    async with everlink.made.database.reading() as reading:
        rows = (await reading.execute(select(WEBHOOK_ENDPOINTS).where(WEBHOOK_ENDPOINTS.c.id == made["id"]))).all()
    assert "planted" not in repr(rows)
    assert (await product.patch(path, json={"is_enabled": False})).json()["legacy_signature"] is not None  # as it was


@pytest.mark.parametrize("secret", ["fifteen letters", "", None, 12345678901234567, "x" * 1001, "NUL " * 5 + "\0"])
async def test_legacy_secret_that_is_none_is_a_422(product: httpx.AsyncClient, secret: object) -> None:
    made = await add(product)
    answer = await product.patch(f"{V1}/{made['id']}", json={"legacy_signature": {"secret": secret}})
    assert (answer.status_code, answer.json()["error_code"]) == (422, "invalid_request")
    body = {"url": "http://127.0.0.1:9/", "events": EVENTS, "legacy_signature": {"secret": secret}}
    assert (await product.post(V1, json=body)).status_code == 422


async def test_change_leaves_what_it_does_not_name(product: httpx.AsyncClient) -> None:
    made = await add(product, headers={"Authorization": "Bearer planted"}, method="PUT")
    path = f"{V1}/{made.pop('id')}"
    del made["secret"]
    assert made["header_names"] == ["Authorization"] and made["method"] == "PUT" and made["is_enabled"] is True
    for change in (
        {"events": ["Connection Expired", "Connection Expired"]},
        {"url": "http://127.0.0.1:10/other"},
        {"headers": {"x-a": "b"}},
        {"method": "POST"},
        {"is_enabled": False},
        {},
    ):
        changed = (await product.patch(path, json=change)).json()
        made.update({name: value for name, value in change.items() if name != "headers"})
        made["events"] = list(dict.fromkeys(made["events"]))
        made["header_names"] = ["x-a"] if "headers" in change else made["header_names"]
        assert {**made, "id": changed["id"]} == changed == (await product.get(path)).json()


@pytest.mark.parametrize(
    "change",
    [
        {"url": None},
        {"events": None},
        {"headers": None},
        {"method": None},
        {"is_enabled": None},
        {"events": []},
        {"events": ["Connection Exploded"]},
        {"url": "ftp://127.0.0.1/"},
        {"url": "http://user:planted@127.0.0.1:9/"},
        {"url": "http://169.254.169.254/"},
        {"method": "GET"},
        {"method": "post"},
        {"is_enabled": "perhaps"},
        {"headers": {"X-Cobalt-Signature": "mine"}},
        {"headers": {"webhook-id": "mine"}},
        {"headers": {"x-a": "line\r\nbreak"}},
        {"headers": {f"x-{number}": "planted" * 100 for number in range(20)}},
    ],
    ids=lambda change: str(change)[:60],
)
async def test_change_that_no_delivery_could_carry_is_a_422(product: httpx.AsyncClient, change: dict[str, Any]) -> None:
    made = await add(product)
    path = f"{V1}/{made['id']}"
    before = (await product.get(path)).json()
    answer = await product.patch(path, json=change)
    assert answer.status_code == 422 and "planted" not in answer.text
    assert answer.json()["error_code"] in ("invalid_request", "webhook_url_refused")
    assert (await product.get(path)).json() == before
    [(name, value)] = change.items()
    in_seed = {"url": "webhook_url", "events": "webhook_events", "headers": "webhook_headers"}.get(name, name)
    answer = await product.put(f"{SEED}/{made['id']}", json={in_seed: value})
    assert answer.status_code == (400 if name == "events" and value is not None else 422)
    assert (await product.get(path)).json() == before


async def test_seeds_webhook_from_its_making_to_its_end(product: httpx.AsyncClient) -> None:
    body = {
        "webhook_url": "http://127.0.0.1:9/hooks",
        "webhook_events": ["Connection Expired", "Connection Created"],
        "webhook_headers": {"authorization": "Bearer abc"},
        "is_enabled": False,
        "method": "PUT",
    }
    made = (await product.post(SEED, json=body)).json()
    assert made.pop("secret").startswith("whsec_")
    assert {**body, "_id": made["_id"]} == {**made, "webhook_events": body["webhook_events"]}
    assert sorted(made["webhook_events"]) == sorted(body["webhook_events"])
    path = f"{SEED}/{made['_id']}"
    assert (await product.get(path)).json() == made and (await product.get(SEED)).json() == [made]
    same = (await product.get(f"{V1}/{made['_id']}")).json()
    assert (same["url"], same["header_names"], same["is_enabled"]) == (body["webhook_url"], ["authorization"], False)
    changed = (await product.put(path, json={"is_enabled": True, "webhook_events": ["Connection Deleted"]})).json()
    assert changed == {**made, "is_enabled": True, "webhook_events": ["Connection Deleted"]}
    assert (await product.delete(path)).json().keys() == {"message"}
    for method in ("GET", "PUT", "DELETE"):
        answer = await product.request(method, path, json={} if method == "PUT" else None)
        assert (answer.status_code, answer.json()["error_code"]) == (404, "webhook_endpoint_not_found")
    least = {"webhook_url": "http://127.0.0.1:9/", "webhook_events": ["Connection Expired"]}
    made = (await product.post(SEED, json=least)).json()
    assert (made["method"], made["is_enabled"], made["webhook_headers"]) == ("POST", True, {})


@pytest.mark.parametrize("events", [[], None, ["Connection Exploded"], ["Connection Created", "connection created"]])
async def test_event_that_there_is_not_is_the_seeds_400(product: httpx.AsyncClient, events: list[str] | None) -> None:
    body: dict[str, Any] = {"webhook_url": "http://127.0.0.1:9/", "webhook_events": events}
    if events is None:
        del body["webhook_events"]
    answer = await product.post(SEED, json=body)
    assert answer.status_code == 400 and answer.json() == {
        "status_code": 400,
        "http_error_type": "Bad Request",
        "error_code": "INVALID_EVENT",
        "message": answer.json()["message"],
        "request_id": answer.headers["x-request-id"],
    }
    assert (await product.get(SEED)).json() == []


async def test_endpoint_of_another_organization_is_not_there(everlink: Everlink, product: httpx.AsyncClient) -> None:
    made = await add(product)
    stranger = await everlink.product("Other")
    for method, path in (
        ("GET", V1),
        ("PATCH", V1),
        ("DELETE", V1),
        ("GET", SEED),
        ("PUT", SEED),
        ("DELETE", SEED),
    ):
        answers = []
        for target in (made["id"], "we_" + "0" * 32):
            body = {"is_enabled": False} if method in ("PATCH", "PUT") else None
            answer = await stranger.request(method, f"{path}/{target}", json=body)
            answers.append((answer.status_code, {**answer.json(), "request_id": ""}))
        assert answers[0] == answers[1] and answers[0][0] == 404
    assert (await product.get(f"{V1}/{made['id']}")).json()["is_enabled"] is True
    assert (await stranger.get(SEED)).json() == []
