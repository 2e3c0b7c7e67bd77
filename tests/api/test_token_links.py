"""Where there is no token, the answer has a link for the customer that mends it; asking again costs no more links."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from sqlalchemy import func, select

from api import links
from api.links import Links
from store.tables import CONNECT_TICKETS
from tests.api.conftest import SAVE_KEY, Everlink, age, until_status


async def die(everlink: Everlink, product: httpx.AsyncClient, connection: str) -> None:
    async with everlink.customer() as ada:
        await ada.revoke()
    await product.post(f"/v1/connections/{connection}/refresh")
    await until_status(product, connection, "reauth_required")


async def tickets(everlink: Everlink, connection: str) -> int:
    query = select(func.count()).where(CONNECT_TICKETS.c.connection_id == connection)
    async with everlink.made.database.reading() as reading:
        return int((await reading.execute(query)).scalar_one())


async def test_link_in_place_of_a_token_mends_the_connection(everlink: Everlink, product: httpx.AsyncClient) -> None:
    connection = await everlink.connect(product)
    path, used = f"/v1/connections/{connection}/token", []
    for times in (1, 2):
        await die(everlink, product, connection)
        refused = [await product.get(path) for _ in range(5)]
        refused += await asyncio.gather(*(product.get(path) for _ in range(20)))
        assert {answer.status_code for answer in refused} == {409}
        assert {answer.json()["reason"] for answer in refused} == {"access_revoked"}
        [link] = {answer.json()["reconnect_url"] for answer in refused}
        assert link not in used and await tickets(everlink, connection) == times
        used.append(link)
        async with everlink.customer() as ada:
            assert (await ada.consent(link)).status_code == 200
        assert (await product.get(path)).status_code == 200


async def test_link_comes_with_the_refusal_that_a_refresh_brings(
    everlink: Everlink, product: httpx.AsyncClient
) -> None:
    connection = await everlink.connect(product)
    async with everlink.customer() as ada:
        await ada.revoke()
    await age(everlink, connection, 5)
    refused = (await product.get(f"/v1/connections/{connection}/token")).json()
    assert (refused["error_code"], refused["reason"]) == ("reauth_required", "access_revoked")
    assert refused["reconnect_url"].startswith(f"{everlink.url}/connect/start/")


async def test_no_link_where_none_would_help(everlink: Everlink, product: httpx.AsyncClient) -> None:
    ended = await everlink.connect(product)
    assert (await product.delete(f"/v1/connections/{ended}")).status_code == 200
    async with everlink.customer("grace") as grace:
        key_id, key = await grace.create_key()
        assert (await product.put(SAVE_KEY, json={"api_key": key})).status_code == 200
        await grace.delete_key(key_id)
    [row] = (await product.get("/v1/connections", params={"status": "active"})).json()["connections"]
    assert (await product.post(f"/v1/connections/{row['id']}/refresh")).json()["verdict"] == "dead"
    for connection, code in ((ended, "connection_disconnected"), (row["id"], "reauth_required")):
        refused = (await product.get(f"/v1/connections/{connection}/token")).json()
        assert refused["error_code"] == code and "reconnect_url" not in refused
        assert await tickets(everlink, connection) == 0


async def test_links_are_kept_for_a_while_and_not_without_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "MOST", 2)
    kept, made = Links(), []

    async def make() -> str:
        made.append("link")
        return f"link {len(made)}"

    async def fail() -> str:
        raise RuntimeError

    for name, expected in (("a", 1), ("a", 1), ("b", 2), ("c", 3), ("a", 4)):
        assert await kept.get((name, 1), make) == f"link {expected}"
    assert await kept.get(("a", 2), make) == "link 5"
    with pytest.raises(RuntimeError):
        await kept.get(("d", 1), fail)
    assert await kept.get(("d", 1), make) == "link 6"
    monkeypatch.setattr(links, "KEPT_SECONDS", -1.0)
    assert [await kept.get(("e", 1), make) for _ in range(2)] == ["link 7", "link 8"]
