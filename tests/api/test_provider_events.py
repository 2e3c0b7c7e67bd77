"""A product that hears of an end from the provider itself passes it on."""

from __future__ import annotations

from datetime import timedelta

import httpx
import pytest

from everlink import Client
from everlink.contract import ConnectionStatus, ProviderEventKind
from store.database import utc_now
from tests.api.conftest import Everlink, until_status


async def happened(product: httpx.AsyncClient, connection: str) -> list[tuple[str | None, str | None]]:
    timeline = (await product.get(f"/v1/connections/{connection}/events")).json()["transitions"]
    return [(row["event"], row["reason"]) for row in timeline]


@pytest.mark.parametrize(("event", "reason"), [("revoked", "access_revoked"), ("uninstalled", "app_uninstalled")])
async def test_what_the_provider_announced_is_believed_without_asking_it(
    everlink: Everlink, product: httpx.AsyncClient, event: str, reason: str
) -> None:
    connection = await everlink.connect(product)  # whose grant the provider still takes
    answer = await product.post(f"/v1/connections/{connection}/report", json={"event": event})
    assert (answer.status_code, answer.json()) == (202, {"accepted": True})
    flagged = await until_status(product, connection, "reauth_required")
    assert flagged["reason"] == reason
    again = await product.post(f"/v1/connections/{connection}/report", json={"event": event})
    assert (again.status_code, again.json()["error_code"], again.json()["reason"]) == (409, "reauth_required", reason)
    assert await happened(product, connection) == [("Connection Created", None), ("Connection Expired", reason)]


async def test_same_report_sent_twice_flags_once_even_where_the_customer_came_back_in_between(
    everlink: Everlink, product: httpx.AsyncClient
) -> None:
    connection = await everlink.connect(product)
    path, once = f"/v1/connections/{connection}/report", {"idempotency-key": "once"}
    body = {"event": "revoked", "occurred_at": utc_now().isoformat()}
    first = await product.post(path, json=body, headers=once)
    await until_status(product, connection, "reauth_required")
    assert await everlink.connect(product) == connection
    again = await product.post(path, json=body, headers=once)
    late = await product.post(path, json=body)  # by who forgot that it was sent: the grant of that time is gone anyway
    assert (first.status_code, again.status_code, late.status_code) == (202, 202, 202)
    assert again.headers["idempotent-replayed"] == "true"
    refreshed = (await product.post(f"/v1/connections/{connection}/refresh")).json()  # it comes behind both
    assert (refreshed["status"], refreshed["verdict"]) == ("active", "ok")
    assert [event for event, _ in await happened(product, connection)] == [
        "Connection Created",
        "Connection Expired",
        "Connection Reauthenticated",
    ]


@pytest.mark.parametrize(
    "body",
    [
        {"event": "suspect"},
        {"event": "REVOKED"},
        {"event": ""},
        {"event": ["revoked"]},
        {"event": "revoked", "occurred_at": "yesterday"},
        {"event": "revoked", "occurred_at": "2020-01-01T00:00:00"},  # whose midnight?
        {"event": "revoked", "occurred_at": "9999-12-31T23:59:59-23:59"},
        {"event": "revoked", "occurred_at": "0001-01-01T00:00:00+14:00"},
        {"event": "revoked", "occurred_at": True},
        {"event": "revoked", "occurred_at": 1767225600},  # or milliseconds?
    ],
    ids=str,
)
async def test_report_of_no_event_or_of_no_time_is_a_422(
    everlink: Everlink, product: httpx.AsyncClient, body: dict[str, object]
) -> None:
    connection = await everlink.connect(product)
    answer = await product.post(f"/v1/connections/{connection}/report", json=body)
    assert (answer.status_code, answer.json()["error_code"]) == (422, "invalid_request")
    assert (await product.get(f"/v1/connections/{connection}")).json()["status"] == "active"


async def test_what_has_not_happened_yet_is_a_422_but_clocks_may_differ(
    everlink: Everlink, product: httpx.AsyncClient
) -> None:
    connection = await everlink.connect(product)
    path, now = f"/v1/connections/{connection}/report", utc_now()
    ahead = {"event": "revoked", "occurred_at": (now + timedelta(minutes=5)).isoformat()}
    refused = await product.post(path, json=ahead)
    assert (refused.status_code, refused.json()["error_code"]) == (422, "invalid_request")
    assert refused.json()["details"][0]["loc"] == ["body", "occurred_at"]
    ahead["occurred_at"] = (now + timedelta(seconds=30)).isoformat()
    assert (await product.post(path, json=ahead)).status_code == 202
    await until_status(product, connection, "reauth_required")


async def test_what_happened_before_the_grant_flags_nobody(everlink: Everlink, product: httpx.AsyncClient) -> None:
    connection = await everlink.connect(product)
    reported = {"event": "uninstalled", "occurred_at": "1970-01-01T00:00:00Z"}
    assert (await product.post(f"/v1/connections/{connection}/report", json=reported)).status_code == 202
    refreshed = (await product.post(f"/v1/connections/{connection}/refresh")).json()
    assert (refreshed["status"], refreshed["verdict"]) == ("active", "ok")


async def test_client_passes_it_on(everlink: Everlink, product: httpx.AsyncClient) -> None:
    connection = await everlink.connect(product)
    async with Client(everlink.url, product.headers["x-api-key"]) as client:
        await client.connections.report_event(connection, ProviderEventKind.UNINSTALLED, utc_now() - timedelta(days=1))
        assert (await client.connections.refresh(connection)).status is ConnectionStatus.ACTIVE  # older than the grant
        await client.connections.report_event(connection, ProviderEventKind.UNINSTALLED)
        dead = await client.connections.wait(connection, status=ConnectionStatus.REAUTH_REQUIRED)
        assert dead.reason == "app_uninstalled"
