"""A linked account is removed: revoked, disconnected, announced, and then nothing is known of it any more."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import func, select

from dev.listener import Listener
from everlink.contract import RemovalKind
from store.database import utc_now
from store.hashing import sha256
from store.scope import Scope
from store.tables import CONNECTIONS, EVENTS, LINKED_ACCOUNTS, SESSION_TOKENS, TRANSITIONS
from tests.api.conftest import OAUTH_URL, SAVE_KEY, Everlink
from tests.api.removing import connections_of, rows_of, scope_of, until_removed

ACCOUNTS = "/api/v2/public/linked-account"
ACME = "/v1/linked-accounts/acme"


async def add_session(everlink: Everlink, scope: Scope, account: str) -> str:
    token, now = uuid4().hex, utc_now()
    async with everlink.made.database.writing() as writing:
        await writing.execute(
            SESSION_TOKENS.insert().values(
                id=uuid4().hex,
                **scope.columns,
                linked_account_id=account,
                token_sha256=sha256(token),
                refresh_sha256=sha256(f"refresh {token}"),
                sealed=b"",
                created_at=now,
                expires_at=now + timedelta(hours=1),
                refresh_expires_at=now + timedelta(hours=1),
            )
        )
    return token


async def test_account_that_is_made_again_under_the_same_id_starts_empty(
    everlink: Everlink, product: httpx.AsyncClient
) -> None:
    before = await everlink.connect(product)
    await product.post(ACCOUNTS, json={"account_id": "acme", "name": "before", "udf": {"a": 1}})
    await until_removed(product, (await product.delete(ACME)).json()["id"])
    assert (await product.get(OAUTH_URL)).json()["error_code"] == "linked_account_not_found"
    assert (await product.delete(ACME)).status_code == 404
    made = (await product.post(ACCOUNTS, json={"account_id": "acme"})).json()
    assert (made["name"], made["udf"]) == (None, [])
    assert await connections_of(product, linked_account_id="acme") == []
    assert await everlink.connect(product) != before


async def test_account_is_gone_from_the_first_answer_on_and_cannot_be_made_meanwhile(
    everlink: Everlink, product: httpx.AsyncClient
) -> None:
    made, scope = everlink.made, await scope_of(everlink.made, product)
    link = (await product.get(OAUTH_URL)).json()["auth_url"]
    assert await made.removals.begin(scope, RemovalKind.LINKED_ACCOUNT, "acme", utc_now()) is not None
    async with everlink.customer() as ada:
        assert (await ada.consent(link)).status_code == 409
    assert await connections_of(product) == []
    for answer in (await product.get(OAUTH_URL), await product.put(SAVE_KEY, json={"api_key": "sk_sandbox_x"})):
        assert (answer.status_code, answer.json()["error_code"]) == (404, "linked_account_not_found")
    again = await product.post(ACCOUNTS, json={"account_id": "acme", "name": "again"})
    assert (again.status_code, again.json()["error_code"]) == (409, "removal_under_way")
    async with made.database.reading() as reading:
        [name] = (await reading.execute(select(LINKED_ACCOUNTS.c.name).where(scope.owns(LINKED_ACCOUNTS)))).scalars()
        assert name != "again"
    await until_removed(product, (await product.delete(ACME)).json()["id"])


async def test_event_that_its_endpoint_does_not_take_yet_holds_up_the_end(
    everlink: Everlink, product: httpx.AsyncClient
) -> None:
    await everlink.connect(product)
    async with Listener() as listener:
        await listener.subscribe(product)
        listener.failing = True
        removal = (await product.delete(ACME)).json()
        made, scope = everlink.made, await scope_of(everlink.made, product)
        async with asyncio.timeout(20):
            while (await rows_of(made.database, scope)).get("credential"):  # until it is revoked and purged
                await asyncio.sleep(0.05)
        assert (await product.get(f"/v1/removals/{removal['id']}")).json()["finished_at"] is None
        listener.failing = False  # the second attempt comes after five seconds
        await listener.wait_for("Connection Deleted", "sandbox", "acme", seconds=60)
        await until_removed(product, removal["id"])


async def test_other_accounts_environments_and_organizations_keep_theirs(
    everlink: Everlink, product: httpx.AsyncClient
) -> None:
    stranger = await everlink.product("Other")
    theirs = await everlink.connect(stranger)
    await product.post(ACCOUNTS, json={"account_id": "other"})
    product.headers["linked_account_id"] = "other"
    ours = await everlink.connect(product, "grace")
    product.headers["linked_account_id"] = "acme"
    gone = await everlink.connect(product)
    await until_removed(product, (await product.delete(ACME)).json()["id"])
    assert [row["id"] for row in await connections_of(product)] == [ours] != [gone]
    assert (await product.get(f"/v1/connections/{ours}/token")).status_code == 200
    assert (await stranger.get(f"/v1/connections/{theirs}/token")).status_code == 200
    async with everlink.made.database.reading() as reading:
        for table in (TRANSITIONS, EVENTS):
            mine = select(func.count()).where(table.c.connection_id == ours)
            assert (await reading.execute(mine)).scalar_one() == 1


@pytest.mark.parametrize("path", [ACCOUNTS, "/v1/linked-accounts"])
async def test_account_that_is_not_there_is_a_404(product: httpx.AsyncClient, path: str) -> None:
    answer = await product.delete(f"{path}/nobody")
    assert (answer.status_code, answer.json()["error_code"]) == (404, "linked_account_not_found")


async def test_route_of_the_seed_answers_a_message_and_removes(everlink: Everlink, product: httpx.AsyncClient) -> None:
    connection = await everlink.connect(product)
    answer = await product.delete(f"{ACCOUNTS}/acme")
    body: dict[str, Any] = answer.json()
    assert (answer.status_code, list(body)) == (200, ["message"])
    removal = (await product.delete(ACME)).json()  # the same one, under way or over
    if "id" in removal:
        await until_removed(product, removal["id"])
    assert (await product.get(f"/v1/connections/{connection}")).status_code == 404
    async with everlink.made.database.reading() as reading:
        left = select(func.count()).where(CONNECTIONS.c.id == connection)
        assert (await reading.execute(left)).scalar_one() == 0
