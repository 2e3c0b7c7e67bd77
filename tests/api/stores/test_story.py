"""The whole story on each database: connect, live, die, reconnect, disconnect, each step announced."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from dev.listener import Listener
from tests.api.conftest import SAVE_KEY, Everlink, age, until_status

APPLICATION = "/api/v2/public/application/sandbox"


@pytest.fixture
async def listener(product: httpx.AsyncClient) -> AsyncIterator[Listener]:
    async with Listener() as one:
        await one.subscribe(product)
        yield one


async def works(everlink: Everlink, product: httpx.AsyncClient, connection: str) -> bool:
    token = (await product.get(f"/v1/connections/{connection}/token")).json()["access_token"]
    async with httpx.AsyncClient() as provider:
        me = await provider.get(f"{everlink.sandbox}/api/me", headers={"authorization": f"Bearer {token}"})
    return me.status_code == 200


async def test_connection_lives_dies_comes_back_and_ends(
    everlink: Everlink, product: httpx.AsyncClient, listener: Listener
) -> None:
    connection = await everlink.connect(product)
    assert await works(everlink, product, connection)
    created = await listener.wait_for("Connection Created", "sandbox", "acme")
    assert (created["connection_id"], created["sequence"], created["reason"]) == (connection, 1, None)

    await age(everlink, connection, 5)
    crowd = [product.get(f"/v1/connections/{connection}/token") for _ in range(20)]
    assert {answer.json()["generation"] for answer in await asyncio.gather(*crowd)} == {2}
    assert await works(everlink, product, connection)

    async with everlink.customer() as ada:
        await ada.revoke()
    reported = await product.post(f"/v1/connections/{connection}/report", json={"generation": 2})
    assert (reported.status_code, reported.json()) == (202, {"accepted": True})
    await until_status(product, connection, "reauth_required")
    expired = await listener.wait_for("Connection Expired", "sandbox", "acme")
    assert (expired["reason"], expired["previous_status"], expired["status"]) == (
        "access_revoked",
        "active",
        "reauth_required",
    )
    flagged = (await product.get(APPLICATION)).json()
    assert (flagged["connected"], flagged["reauth_required"]) == (True, True)
    assert [account["status"] for account in flagged["connected_accounts"]] == ["expired"]

    link = (await product.post(f"/v1/connections/{connection}/reconnect")).json()["connect_url"]
    async with everlink.customer() as ada:
        assert (await ada.consent(link)).status_code == 200
    await listener.wait_for("Connection Reauthenticated", "sandbox", "acme")
    mended = (await product.get(APPLICATION)).json()
    assert (mended["connected"], mended["reauth_required"]) == (True, False)
    assert mended["connected_accounts"][0]["connection_id"] == connection
    assert mended["connected_accounts"][0]["connectedAt"] > flagged["connected_accounts"][0]["connectedAt"]
    assert await works(everlink, product, connection)

    assert (await product.delete(f"/v1/connections/{connection}")).json()["status"] == "disconnected"
    await listener.wait_for("Connection Deleted", "sandbox", "acme")
    timeline = (await product.get(f"/v1/connections/{connection}/events")).json()
    assert [row["event"] for row in timeline["transitions"]][:4] == [
        "Connection Created",
        "Connection Expired",
        "Connection Reauthenticated",
        "Connection Deleted",
    ]
    assert timeline["as_of"] >= timeline["transitions"][-1]["at"]
    assert listener.refused == 0 and len(set(listener.ids)) == 4
    async with asyncio.timeout(10):
        while not all(row["status"] == "delivered" for row in await deliveries(product, connection)):
            await asyncio.sleep(0.05)
    assert [row["attempts"] for row in await deliveries(product, connection)] == [1, 1, 1, 1]


async def deliveries(product: httpx.AsyncClient, connection: str) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = (await product.get(f"/v1/connections/{connection}/deliveries")).json()
    return rows


async def test_key_lives_dies_and_comes_back_under_the_same_id(
    everlink: Everlink, product: httpx.AsyncClient, listener: Listener
) -> None:
    async with everlink.customer() as ada:
        key_id, key = await ada.create_key()
        assert (await product.put(SAVE_KEY, json={"api_key": key})).json() == {"success": True}
        [connection] = (await product.get("/v1/connections")).json()["connections"]
        await ada.delete_key(key_id)
        refreshed = await product.post(f"/v1/connections/{connection['id']}/refresh")
        assert refreshed.json() | {"expires_at": None} == {
            "status": "reauth_required",
            "health": "ok",
            "generation": 1,
            "expires_at": None,
            "verdict": "dead",
        }
        expired = await listener.wait_for("Connection Expired", "sandbox-key", "acme")
        assert (expired["reason"], expired["auth_type"]) == ("credentials_invalid", "keybased")
        _, new_key = await ada.create_key()
    assert (await product.put(SAVE_KEY, json={"api_key": new_key})).json() == {"success": True}
    token = (await product.get(f"/v1/connections/{connection['id']}/token")).json()
    assert (token["fields"], token["generation"]) == ({"api_key": new_key}, 2)
