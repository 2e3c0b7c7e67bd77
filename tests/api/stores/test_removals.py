"""What is removed leaves no row on either database, and nothing else loses one."""

from __future__ import annotations

import asyncio

import httpx
from sqlalchemy import select

from dev.listener import Listener
from everlink.contract import AuthType, Environment
from store.database import utc_now
from store.scope import Scope
from store.tables import ORGANIZATIONS
from tests.api.conftest import OAUTH_URL, Everlink
from tests.api.removing import add_connections, connections_of, rows_of, scope_of, until_removed
from tests.api.test_erase import ERASE, furnish, until_erased
from tests.api.test_removal_of_accounts import ACCOUNTS, ACME, add_session
from tests.api.test_removal_of_applications import revoke


async def pending(everlink: Everlink, scope: Scope, identifier: str) -> str:
    row = await everlink.made.connections.find_or_create(
        scope,
        linked_account_id="acme",
        slug="sandbox",
        identifier=identifier,
        display_name=None,
        auth_type=AuthType.OAUTH2,
        now=utc_now(),
    )
    return row.id


async def test_living_flagged_and_pending_connections_end_and_everything_is_forgotten(
    everlink: Everlink, product: httpx.AsyncClient
) -> None:
    made, scope = everlink.made, await scope_of(everlink.made, product)
    await product.post(ACCOUNTS, json={"account_id": "acme", "name": "planted name", "udf": {"mail": "planted"}})
    await product.post(ACCOUNTS, json={"account_id": "other", "name": "Other"})
    living, flagged = await everlink.connect(product, "grace"), await everlink.connect(product)
    await revoke(everlink, product, flagged, "ada")
    never = await pending(everlink, scope, "never")
    await product.get(OAUTH_URL)  # a link that is open still
    token, others = await add_session(everlink, scope, "acme"), await add_session(everlink, scope, "other")
    async with Listener() as listener:
        await listener.subscribe(product)
        begun = await product.delete(ACME)
        assert begun.status_code == 202
        removal = begun.json()
        assert (removal["kind"], removal["subject"], removal["total"]) == ("linked_account", "acme", 3)
        assert await made.sessions.authenticate(token, utc_now()) is None
        assert await made.sessions.authenticate(others, utc_now()) is not None
        done = await until_removed(product, removal["id"])
        assert (done["total"], done["done"]) == (3, 3)
        deleted = {body["connection_id"] for body in listener.received if body["event"] == "Connection Deleted"}
    assert deleted == {living, flagged, never}
    for connection in deleted:
        assert (await product.get(f"/v1/connections/{connection}")).status_code == 404
    left = await rows_of(made.database, scope)
    assert {name: left.get(name) for name in ("linked_account", "session_token", "removal")} == {
        "linked_account": 1,
        "session_token": 1,
        "removal": 1,
    }
    gone = {"connection", "credential", "refresh_intent", "transition", "event", "delivery", "connect_ticket"}
    assert not gone & set(left)


async def test_erasing_leaves_no_row_of_the_environment_and_every_row_of_the_others(everlink: Everlink) -> None:
    test = await everlink.product()
    scope = await scope_of(everlink.made, test)
    production = await everlink.client(Scope(scope.org_id, Environment.PRODUCTION))
    stranger = await everlink.product("Other")
    database = everlink.made.database
    products = (test, production, stranger)
    async with everlink.customer() as customer, Listener() as first, Listener() as second, Listener() as third:
        for one, listener in zip(products, (first, second, third), strict=True):
            await furnish(everlink, one, listener)
            await listener.wait_for("Connection Created", "sandbox", "acme")
        await add_connections(everlink.made, scope, 20)
        before = await customer.live_tokens()
        others = [await scope_of(everlink.made, one) for one in (production, stranger)]
        theirs = [await rows_of(database, one) for one in others]
        assert len(await rows_of(database, scope)) >= 12
        begun = await test.post(ERASE, json={"org_id": scope.org_id})
        assert begun.status_code == 202
        assert (begun.json()["kind"], begun.json()["total"]) == ("organization", 21)
        await until_erased(database, scope)
        assert (await customer.live_tokens())["refresh"] < before["refresh"]  # revoked at the provider
    answer = await test.get(f"/v1/removals/{begun.json()['id']}")
    assert (answer.status_code, answer.json()["error_code"]) == (401, "invalid_api_key")
    assert [await rows_of(database, one) for one in others] == theirs
    for one in (production, stranger):
        [living] = (await one.get("/v1/connections")).json()["connections"]
        assert (await one.get(f"/v1/connections/{living['id']}/token")).status_code == 200
    async with database.reading() as reading:
        kept = select(ORGANIZATIONS.c.id).where(ORGANIZATIONS.c.id == scope.org_id)
        assert (await reading.execute(kept)).one_or_none() is not None  # production is its own still

    again = await everlink.client(scope)  # with another data key than before
    connection = await everlink.connect(again)
    assert (await again.get(f"/v1/connections/{connection}/token")).status_code == 200


async def test_application_that_is_removed_with_many_connections_reaches_each(
    everlink: Everlink, product: httpx.AsyncClient
) -> None:
    scope = await scope_of(everlink.made, product)
    mine = set(await add_connections(everlink.made, scope, 120))
    refreshing = [asyncio.create_task(product.post(f"/v1/connections/{one}/refresh")) for one in list(mine)[:10]]
    removal = (await product.delete("/v1/applications/sandbox")).json()
    done = await until_removed(product, removal["id"], seconds=120)
    assert (done["total"], done["done"]) == (120, 120)
    await asyncio.gather(*refreshing)
    assert {row["id"] for row in await connections_of(product, reason="application_deleted")} == mine
