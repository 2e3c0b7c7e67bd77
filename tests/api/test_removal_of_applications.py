"""An application is removed with hundreds of customers connected: each hears of it, and none is lost."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
from sqlalchemy import select
from temporalio.testing import WorkflowEnvironment

from dev.listener import Listener
from everlink.contract import RemovalKind, connection_workflow_id, removal_workflow_id
from store.database import utc_now
from store.tables import APPLICATIONS
from tests.api.conftest import OAUTH_URL, SAVE_KEY, Everlink, until_status
from tests.api.removing import add_connections, connections_of, rows_of, scope_of, until_removed
from tests.api.visitor import Visitor

PATH = "/v1/applications/sandbox"
SEEN = "/api/v2/public/application"
CLIENT = {"client_id": "everlink-sandbox", "client_secret": "sandbox-secret"}


async def story(product: httpx.AsyncClient, connection: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await product.get(f"/v1/connections/{connection}/events")).json()["transitions"]
    return found


async def revoke(everlink: Everlink, product: httpx.AsyncClient, connection: str, name: str) -> None:
    async with everlink.customer(name) as customer:
        await customer.revoke()
    assert (await product.post(f"/v1/connections/{connection}/report", json={})).status_code == 202
    await until_status(product, connection, "reauth_required")


async def test_connections_ask_for_their_customers_and_live_again_under_their_ids(
    everlink: Everlink, product: httpx.AsyncClient
) -> None:
    connection = await everlink.connect(product)
    async with Listener() as listener:
        await listener.subscribe(product)
        begun = await product.delete(PATH)
        assert begun.status_code == 202
        removal = begun.json()
        assert (removal["kind"], removal["subject"], removal["total"]) == ("application", "sandbox", 1)
        expired = await listener.wait_for("Connection Expired", "sandbox", "acme")
        assert (expired["reason"], expired["status"]) == ("application_deleted", "reauth_required")
        done = await until_removed(product, removal["id"])
        assert (done["total"], done["done"]) == (1, 1)
        assert (await product.get(PATH)).status_code == 404
        token = await product.get(f"/v1/connections/{connection}/token")
        assert (token.status_code, token.json()["error_code"]) == (409, "reauth_required")
        assert token.json()["reason"] == "application_deleted"
        refresh = await product.post(f"/v1/connections/{connection}/refresh")
        assert (refresh.status_code, refresh.json()["reason"]) == (409, "application_deleted")
        link = await product.post(f"/v1/connections/{connection}/reconnect")
        assert (link.status_code, link.json()["error_code"]) == (400, "application_not_configured")
        listed = {one["slug"]: one for one in (await product.get(SEEN)).json()}
        assert (await product.get(f"{SEEN}/sandbox")).json() == listed["sandbox"]
        deleted = listed["sandbox"]  # as the seed has it: the flag is in the application's object
        assert (deleted["app_id"], deleted["connected"], deleted["reauth_required"]) == (None, True, True)

        assert (await product.put(PATH, json=CLIENT)).status_code == 200
        link = await product.post(f"/v1/connections/{connection}/reconnect")
        async with everlink.customer() as ada:
            assert (await ada.consent(link.json()["connect_url"])).status_code == 200
        await listener.wait_for("Connection Reauthenticated", "sandbox", "acme")
    await until_status(product, connection, "active")
    assert (await product.get(f"/v1/connections/{connection}/token")).status_code == 200
    assert (await product.delete(PATH)).json()["id"] != removal["id"]  # a removal of its own


async def test_client_is_forgotten_with_the_application(everlink: Everlink, product: httpx.AsyncClient) -> None:
    scope = await scope_of(everlink.made, product)
    await until_removed(product, (await product.delete(PATH)).json()["id"])
    async with everlink.made.database.reading() as reading:
        mine = select(APPLICATIONS.c.slug).where(scope.owns(APPLICATIONS))
        assert (await reading.execute(mine)).scalars().all() == ["sandbox-key"]
    again = await product.delete(PATH)
    assert (again.status_code, again.json()["error_code"]) == (404, "application_not_found")
    fresh = (await product.put(PATH, json={})).json()
    assert (fresh["client_id"], fresh["has_client_secret"]) == (None, False)


async def test_connection_that_needed_its_customer_already_says_the_new_reason_and_no_event_repeats(
    everlink: Everlink, product: httpx.AsyncClient
) -> None:
    connection = await everlink.connect(product)
    await revoke(everlink, product, connection, "ada")
    await until_removed(product, (await product.delete(PATH)).json()["id"])
    found = (await product.get(f"/v1/connections/{connection}")).json()
    assert (found["status"], found["reason"]) == ("reauth_required", "application_deleted")
    timeline = await story(product, connection)
    assert [row["event"] for row in timeline] == ["Connection Created", "Connection Expired", None]
    assert timeline[-1]["note"].startswith("the application was deleted")


async def test_what_never_connected_ends_and_what_has_ended_stays_so(
    everlink: Everlink, product: httpx.AsyncClient
) -> None:
    made, scope = everlink.made, await scope_of(everlink.made, product)
    ended = await everlink.connect(product)
    assert (await product.delete(f"/v1/connections/{ended}")).status_code == 200
    before = (await product.get(f"/v1/connections/{ended}")).json()
    pending = await made.connections.find_or_create(
        scope,
        linked_account_id="acme",
        slug="sandbox",
        identifier="never",
        display_name=None,
        auth_type=made.catalog.get("sandbox").auth_type,  # type: ignore[union-attr]
        now=utc_now(),
    )
    removal = (await product.delete(PATH)).json()
    assert (removal["total"], (await until_removed(product, removal["id"]))["done"]) == (1, 1)
    assert (await product.get(f"/v1/connections/{pending.id}")).json()["status"] == "disconnected"
    after = (await product.get(f"/v1/connections/{ended}")).json()
    assert (after["status"], after["reason"]) == ("disconnected", before["reason"])


async def test_nothing_new_is_connected_while_the_removal_is_under_way(
    everlink: Everlink, product: httpx.AsyncClient
) -> None:
    made, scope = everlink.made, await scope_of(everlink.made, product)
    living = await everlink.connect(product)
    link = (await product.get(OAUTH_URL)).json()["auth_url"]
    again = (await product.post(f"/v1/connections/{living}/reconnect")).json()["connect_url"]
    async with Visitor(everlink.sandbox, "grace", "grace-password") as grace:
        answer = await grace.consent_only(link)
        for slug in ("sandbox", "sandbox-key"):
            assert await made.removals.begin(scope, RemovalKind.APPLICATION, slug, utc_now()) is not None
        for page in (await grace.open(answer), await grace.open(link), await grace.open(again)):
            assert page.status_code == 409 and "not set up here" in page.text
    assert (await product.get(OAUTH_URL)).status_code == 404
    assert (await product.put(SAVE_KEY, json={"api_key": "sk_sandbox_x"})).status_code == 404
    for body in ({}, CLIENT):
        refused = await product.put(PATH, json=body)
        assert (refused.status_code, refused.json()["error_code"]) == (409, "removal_under_way")
    assert (await product.get("/v1/applications")).json() == []
    assert [(one["slug"], one["app_id"]) for one in (await product.get(SEEN)).json()] == [("sandbox", None)]
    assert [row["id"] for row in await connections_of(product)] == [living]

    under_way = [await product.delete(PATH) for _ in range(3)]
    assert {answer.status_code for answer in under_way} == {202}
    assert len({answer.json()["id"] for answer in under_way}) == 1
    await until_removed(product, under_way[0].json()["id"])


async def test_refresh_that_is_under_way_does_not_bring_a_connection_back(
    everlink: Everlink, product: httpx.AsyncClient
) -> None:
    connections = [await everlink.connect(product, name) for name in ("ada", "grace")]
    paths = [f"/v1/connections/{connection}/refresh" for connection in connections * 5]
    refreshing = [asyncio.create_task(product.post(path)) for path in paths]
    await asyncio.sleep(0)
    removal = (await product.delete(PATH)).json()
    answers = await asyncio.gather(*refreshing)
    assert {answer.status_code for answer in answers} <= {200, 409}
    await until_removed(product, removal["id"])
    for connection in connections:
        found = (await product.get(f"/v1/connections/{connection}")).json()
        assert (found["status"], found["reason"]) == ("reauth_required", "application_deleted")
        assert (await product.get(f"/v1/connections/{connection}/token")).status_code == 409


async def test_hundreds_follow_and_the_page_says_how_far_it_is(
    everlink: Everlink, product: httpx.AsyncClient, temporal: WorkflowEnvironment
) -> None:
    scope = await scope_of(everlink.made, product)
    mine = set(await add_connections(everlink.made, scope, 250))
    stranger = await everlink.product("Other")
    untouched = await everlink.connect(stranger)
    removal = (await product.delete(PATH)).json()
    assert removal["total"] == 250
    done = await until_removed(product, removal["id"], seconds=120)
    assert (done["total"], done["done"]) == (250, 250)
    rows = await connections_of(product, reason="application_deleted")
    assert {row["id"] for row in rows} == mine
    assert {(row["status"], row["sequence"]) for row in rows} == {("reauth_required", 1)}  # each was told once
    assert (await stranger.get(f"/v1/connections/{untouched}/token")).status_code == 200
    assert (await rows_of(everlink.made.database, scope))["credential"] == 250  # a reconnect may find them

    page = await temporal.client.get_workflow_handle(removal_workflow_id(removal["id"])).describe()
    assert await page.static_summary() == "remove application · `sandbox`"
    one = temporal.client.get_workflow_handle(connection_workflow_id(next(iter(mine))))
    history = [event.event_type async for event in one.fetch_history_events()]
    assert len(history) < 30


async def test_removal_of_another_tenant_is_a_404(everlink: Everlink, product: httpx.AsyncClient) -> None:
    removal = (await product.delete(PATH)).json()["id"]
    stranger = await everlink.product("Other")
    for path in (f"/v1/removals/{removal}", "/v1/removals/rem_nonsense"):
        answer = await stranger.get(path)
        assert (answer.status_code, answer.json()["error_code"]) == (404, "removal_not_found")
    assert (await stranger.get(PATH)).status_code == 200
    await until_removed(product, removal)
