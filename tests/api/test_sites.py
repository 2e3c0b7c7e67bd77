"""Applications that ask something before consent, tell the account on the way back, or take a client of the customer's.

Each test takes sites and accounts of its own: the provider is shared.
"""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import select

from store.tables import CONNECT_TICKETS, CONNECTION_KEYS
from tests.api.conftest import Everlink, age, until_status
from tests.api.provider import OUR_CLIENT, Provider
from tests.api.test_hosted import PAGE, card, hosted_url, submit
from tests.api.test_sessions import bearer, session

SHOP_URL = "/api/v2/public/linked-account/integration/oauth-url/shop"
SAVE_MACHINE = "/api/v2/public/linked-account/integration/save-key-credentials/machine"


@pytest.fixture
def site() -> str:
    return f"site-{uuid4().hex[:8]}"


@pytest.fixture
async def product(everlink: Everlink) -> httpx.AsyncClient:
    product = await everlink.product()
    credentials = {"client_id": OUR_CLIENT[0], "client_secret": OUR_CLIENT[1]}
    assert (await product.put("/v1/applications/shop", json=credentials)).status_code == 200
    assert (await product.put("/v1/applications/machine", json={})).status_code == 200
    return product


async def consent(sites: Provider, link: str, account: str) -> httpx.Response:
    """The customer consents with this account."""
    async with httpx.AsyncClient(follow_redirects=True, timeout=30) as browser:
        sites.account = account
        return await browser.get(link)


async def connect(product: httpx.AsyncClient, sites: Provider, site: str, account: str) -> dict[str, Any]:
    link = (await product.get(SHOP_URL, params={"site": site})).json()["auth_url"]
    page = await consent(sites, link, account)
    assert page.status_code == 200, page.text
    listed = (await product.get("/v1/connections")).json()["connections"]
    return next(one for one in listed if one["identifier"] == account)


async def reconnect(product: httpx.AsyncClient, connection: str, **body: Any) -> str:
    answer = await product.post(f"/v1/connections/{connection}/reconnect", json=body)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["connect_url"])


async def token(product: httpx.AsyncClient, connection: str) -> dict[str, Any]:
    answer = await product.get(f"/v1/connections/{connection}/token")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def keys(everlink: Everlink, connection: str) -> set[tuple[str, str]]:
    query = select(CONNECTION_KEYS.c.name, CONNECTION_KEYS.c.value).where(CONNECTION_KEYS.c.connection_id == connection)
    async with everlink.made.database.reading() as reading:
        return {(row.name, row.value) for row in await reading.execute(query)}


async def test_field_given_before_consent_leads_every_request_after_it(
    everlink: Everlink, sites: Provider, product: httpx.AsyncClient, site: str
) -> None:
    connection = await connect(product, sites, site, f"of-{site}")
    assert connection["display_name"] == f"of-{site}"
    found = await token(product, connection["id"])
    assert found["extra"]["callback"] == {"realmId": f"of-{site}"}
    await age(everlink, connection["id"], 1)
    assert (await token(product, connection["id"]))["access_token"] != found["access_token"]
    mine = [path for path in sites.paths() if path.startswith(f"/{site}/")]
    assert mine == [f"/{site}/{path}" for path in ("authorize", "token", "introspect", "refresh")]
    assert await keys(everlink, connection["id"]) == {("account", f"of-{site}"), ("user", f"user-of-{site}")}


@pytest.mark.parametrize(
    ("given", "missing", "wrong"),
    [
        ({}, ["site"], []),
        ({"site": ""}, ["site"], []),
        ({"site": "evil.example/"}, [], ["site"]),
        ({"site": "acme", "plan": "c"}, [], ["plan"]),
    ],
    ids=str,
)
async def test_field_that_is_not_right_is_named_before_anybody_is_asked(
    product: httpx.AsyncClient, given: dict[str, str], missing: list[str], wrong: list[str]
) -> None:
    refused = await product.get(SHOP_URL, params={**given, "theirs": "ignored"})
    assert (refused.status_code, refused.json()["error_code"]) == (422, "invalid_fields")
    assert (refused.json()["missing"], refused.json()["wrong"]) == (missing, wrong)


async def test_fields_lie_sealed_with_the_link(everlink: Everlink, product: httpx.AsyncClient, site: str) -> None:
    assert (await product.get(SHOP_URL, params={"site": site})).status_code == 200
    async with everlink.made.database.reading() as reading:
        rows = (await reading.execute(select(CONNECT_TICKETS).where(CONNECT_TICKETS.c.slug == "shop"))).all()
    assert any(row.given for row in rows) and not any(site.encode() in (row.given or b"") for row in rows)


async def test_browser_with_a_session_gives_fields_too(product: httpx.AsyncClient, sites: Provider, site: str) -> None:
    headers = bearer((await session(product))["token"])
    structure = (await product.get("/api/v2/f-sdk/application/shop", headers=headers)).json()
    assert [field["name"] for field in structure["auth_input_map"]] == ["site", "plan"]
    assert (await product.get("/api/v1/shop/integrate", headers=headers)).status_code == 422
    link = await product.get("/api/v1/shop/integrate", params={"site": site, "state": "theirs"}, headers=headers)
    assert (await consent(sites, link.json()["auth_url"], f"of-{site}")).status_code == 200


async def test_hosted_page_asks_for_the_fields(
    everlink: Everlink, product: httpx.AsyncClient, sites: Provider, site: str
) -> None:
    async with httpx.AsyncClient(
        base_url=everlink.url, headers={"origin": everlink.url}, follow_redirects=True, timeout=30
    ) as browser:
        shown = card(await browser.get(await hosted_url(product)), "Shop")
        assert "Your site" in shown and 'name="site"' in shown and 'name="plan"' in shown
        refused = await submit(browser, "shop", {"site": "Not A Site"})
        assert refused.status_code == 422
        assert "Please check what you typed in." in card(refused, "Shop")
        leaving = await submit(browser, "shop", {"site": site, "plan": ""})
        link = leaving.headers["refresh"].removeprefix("0; url=")
        assert (await consent(sites, link, f"of-{site}")).status_code == 200
        assert f"of-{site}" in card(await browser.get(PAGE), "Shop")


async def test_reconnect_goes_where_the_customer_went_before_or_elsewhere_when_told(
    product: httpx.AsyncClient, sites: Provider, site: str
) -> None:
    connection = (await connect(product, sites, site, f"of-{site}"))["id"]
    assert (await consent(sites, await reconnect(product, connection), f"of-{site}")).status_code == 200
    assert sites.paths().count(f"/{site}/authorize") == 2
    moved = await reconnect(product, connection, fields={"site": f"{site}-2"})
    assert (await consent(sites, moved, f"of-{site}")).status_code == 200
    assert f"/{site}-2/token" in sites.paths()
    wrong = await product.post(f"/v1/connections/{connection}/reconnect", json={"fields": {"sight": "x"}})
    assert (wrong.status_code, wrong.json()["unknown"]) == (422, ["sight"])


async def test_several_accounts_of_one_application_live_side_by_side(
    everlink: Everlink, product: httpx.AsyncClient, sites: Provider, site: str
) -> None:
    one, other = [(await connect(product, sites, site, f"{name}-{site}"))["id"] for name in ("one", "other")]
    assert one != other and (await connect(product, sites, site, f"one-{site}"))["id"] == one
    assert await keys(everlink, one) != await keys(everlink, other)
    for connection in (one, other):
        assert (await product.get(f"/v1/connections/{connection}")).json()["status"] == "active"
    assert (await token(product, one))["access_token"] != (await token(product, other))["access_token"]


async def test_another_account_takes_the_place_only_where_that_was_asked_for(
    everlink: Everlink, product: httpx.AsyncClient, sites: Provider, site: str
) -> None:
    old, new = f"old-{site}", f"new-{site}"
    connection = (await connect(product, sites, site, old))["id"]
    refused = await consent(sites, await reconnect(product, connection), new)
    assert refused.status_code == 409 and "another account" in refused.text
    assert await keys(everlink, connection) == {("account", old), ("user", f"user-{old}")}
    switched = await consent(sites, await reconnect(product, connection, switch_account=True), new)
    assert switched.status_code == 200
    found = (await product.get(f"/v1/connections/{connection}")).json()
    assert (found["identifier"], found["display_name"], found["status"]) == (new, new, "active")
    assert await keys(everlink, connection) == {("account", new), ("user", f"user-{new}")}
    assert sites.tokens[(await token(product, connection))["access_token"]] == new
    story = (await product.get(f"/v1/connections/{connection}/events")).json()["transitions"]
    assert (story[-1]["event"], story[-1]["note"]) == ("Connection Reauthenticated", "with another account than before")
    announced = (await product.get("/v1/events", params={"connection_id": connection})).json()["events"][-1]["body"]
    assert (announced["event"], announced["identifier"]) == ("Connection Reauthenticated", new)


async def test_account_that_is_connected_already_takes_no_second_place(
    everlink: Everlink, product: httpx.AsyncClient, sites: Provider, site: str
) -> None:
    one, other = [(await connect(product, sites, site, f"{name}-{site}"))["id"] for name in ("one", "other")]
    before = (await token(product, one))["access_token"]
    page = await consent(sites, await reconnect(product, one, switch_account=True), f"other-{site}")
    assert page.status_code == 409 and "connected already" in page.text
    found = (await product.get(f"/v1/connections/{one}")).json()
    assert (found["identifier"], found["sequence"]) == (f"one-{site}", 1)
    assert (await token(product, one))["access_token"] == before
    assert ("account", f"other-{site}") in await keys(everlink, other)


async def test_customers_own_client_is_traded_kept_and_asks_again(
    everlink: Everlink, product: httpx.AsyncClient, sites: Provider, site: str
) -> None:
    sites.customers[site] = "their-secret"
    fields = {"client_id": site, "client_secret": "their-secret", "site": site}
    assert (await product.put(SAVE_MACHINE, json=fields)).status_code == 200
    [connection] = (await product.get("/v1/connections")).json()["connections"]
    assert (connection["identifier"], connection["auth_type"]) == (site, "keybased")
    assert await keys(everlink, connection["id"]) == {("account", site), ("site", site)}
    first = await token(product, connection["id"])
    assert first["fields"] is None and sites.tokens[first["access_token"]] == site
    await age(everlink, connection["id"], 1)
    second = await token(product, connection["id"])
    assert second["access_token"] != first["access_token"] and second["generation"] == 2
    sites.customers[site] = "changed"
    await product.post(f"/v1/connections/{connection['id']}/refresh")
    dead = await until_status(product, connection["id"], "reauth_required")
    assert dead["reason"] == "credentials_invalid"
    assert (await application(product, "machine"))["alarm"] is None
    mended = await product.put(SAVE_MACHINE, json={**fields, "client_secret": "changed"})
    assert mended.status_code == 200
    assert (await until_status(product, connection["id"], "active"))["id"] == connection["id"]


async def test_customers_own_client_that_is_refused_is_not_kept_and_named(
    product: httpx.AsyncClient, sites: Provider, site: str
) -> None:
    fields = {"client_id": site, "client_secret": "planted-secret", "site": site}
    refused = await product.put(SAVE_MACHINE, json=fields)
    body = refused.json()
    assert (refused.status_code, body["error_code"]) == (422, "credentials_refused")
    assert (body["fields"], body["reason"]) == (["client_secret"], "credentials_invalid")
    assert "planted" not in refused.text
    wrong = await product.put(SAVE_MACHINE, json={**fields, "site": "No Site"})
    assert (wrong.json()["error_code"], wrong.json()["wrong"]) == ("invalid_fields", ["site"])
    assert (await product.get("/v1/connections")).json()["connections"] == []


async def test_machine_connects_from_the_browser_sdk(product: httpx.AsyncClient, sites: Provider, site: str) -> None:
    sites.customers[site] = "theirs"
    headers = bearer((await session(product))["token"])
    fields = {"client_id": site, "client_secret": "theirs", "site": site}
    answer = await product.post("/api/v1/machine/integrate", json=fields, headers=headers)
    assert (answer.status_code, answer.json()) == (200, {"connected": True})
    assert (await product.post("/api/v1/machine/integrate", headers=headers)).status_code == 422
    assert (await product.post("/api/v1/shop/integrate", headers=headers)).status_code == 400


async def test_grant_of_another_system_comes_with_its_fields(
    everlink: Everlink, product: httpx.AsyncClient, sites: Provider, site: str
) -> None:
    held = {**sites.grant(f"of-{site}"), "callback": {"realmId": f"of-{site}"}}
    for fields, status in (({}, 422), ({"site": site}, 200)):
        given = {"slug": "shop", "auth_object": {"oauth2": {**held, **fields}}}
        answer = await product.put("/api/v2/public/migrate-token", json=given)
        assert answer.status_code == status, answer.text
    [connection] = (await product.get("/v1/connections")).json()["connections"]
    assert connection["identifier"] == f"of-{site}"
    assert await keys(everlink, connection["id"]) == {("account", f"of-{site}"), ("user", f"user-of-{site}")}
    assert (await product.post(f"/v1/connections/{connection['id']}/refresh")).json()["verdict"] == "ok"
    assert f"/{site}/refresh" in sites.paths()


async def note(product: httpx.AsyncClient, connection: str) -> str:
    """The last line of the timeline."""
    async with asyncio.timeout(20):
        while True:
            story = (await product.get(f"/v1/connections/{connection}/events")).json()["transitions"]
            if story[-1]["status"] == "disconnected" and story[-1]["note"]:
                return str(story[-1]["note"])
            await asyncio.sleep(0.05)


async def test_end_of_a_connection_is_told_to_the_provider_in_its_own_way(
    product: httpx.AsyncClient, sites: Provider, site: str
) -> None:
    connection = (await connect(product, sites, site, f"of-{site}"))["id"]
    held = (await token(product, connection))["access_token"]
    assert (await product.delete(f"/v1/connections/{connection}")).status_code == 200
    assert await note(product, connection) == "revoked at the provider"
    assert held not in sites.tokens and ("/apps/vendor/grant", {"access_token": held}) in sites.asked
    assert f"/{site}/install" not in sites.paths()


async def test_application_is_uninstalled_where_that_was_asked_for(
    product: httpx.AsyncClient, sites: Provider, site: str
) -> None:
    connection = (await connect(product, sites, site, f"of-{site}"))["id"]
    ended = await product.delete(f"/v1/connections/{connection}", params={"uninstall": True})
    assert (ended.status_code, ended.json()["status"]) == (200, "disconnected")
    assert await note(product, connection) == "uninstalled at the provider"
    assert f"/{site}/install" in sites.paths()


async def test_application_that_cannot_be_uninstalled_stays_connected_and_says_so(
    everlink: Everlink, product: httpx.AsyncClient
) -> None:
    connection = await everlink.connect(product)
    refused = await product.delete(f"/v1/connections/{connection}", params={"uninstall": True})
    assert (refused.status_code, refused.json()["error_code"]) == (422, "uninstall_unsupported")
    assert (await product.get(f"/v1/connections/{connection}")).json()["status"] == "active"


async def test_grant_that_was_refused_is_given_back_unless_another_connection_lives_on_it(
    product: httpx.AsyncClient, sites: Provider, site: str
) -> None:
    one, other = [(await connect(product, sites, site, f"{name}-{site}"))["id"] for name in ("one", "other")]
    link = await reconnect(product, one)
    assert (await consent(sites, link, f"third-{site}")).status_code == 409
    assert f"third-{site}" not in sites.tokens.values()
    assert (await consent(sites, link, f"other-{site}")).status_code == 409
    assert sites.tokens[(await token(product, other))["access_token"]] == f"other-{site}"


async def application(product: httpx.AsyncClient, slug: str) -> dict[str, Any]:
    listed: list[dict[str, Any]] = (await product.get("/v1/applications")).json()
    return next(one for one in listed if one["slug"] == slug)


async def test_suspicion_is_settled_by_introspection(product: httpx.AsyncClient, sites: Provider, site: str) -> None:
    connection = (await connect(product, sites, site, f"of-{site}"))["id"]
    asked = sites.paths().count(f"/{site}/introspect")
    await product.post(f"/v1/connections/{connection}/report", json={})
    async with asyncio.timeout(20):
        while sites.paths().count(f"/{site}/introspect") == asked:
            await asyncio.sleep(0.05)
    assert (await product.get(f"/v1/connections/{connection}")).json()["status"] == "active"
    for held in (sites.tokens, sites.renewals):
        for one in [one for one, account in held.items() if account == f"of-{site}"]:
            del held[one]
    await product.post(f"/v1/connections/{connection}/report", json={})
    assert (await until_status(product, connection, "reauth_required"))["reason"] == "access_revoked"


async def test_client_that_the_provider_has_deleted_flags_the_connection_and_the_application(
    product: httpx.AsyncClient, sites: Provider, site: str
) -> None:
    connection = (await connect(product, sites, site, f"of-{site}"))["id"]
    sites.refusal = 401, {"error": "deleted_client"}
    try:
        await product.post(f"/v1/connections/{connection}/refresh")
        assert (await until_status(product, connection, "reauth_required"))["reason"] == "application_deleted"
    finally:
        sites.refusal = None
    assert "does not exist any more" in (await application(product, "shop"))["alarm"]
    assert (await consent(sites, await reconnect(product, connection), f"of-{site}")).status_code == 200
    assert (await product.post(f"/v1/connections/{connection}/refresh")).json()["verdict"] == "ok"
    assert (await application(product, "shop"))["alarm"] is None


async def test_key_that_is_refused_is_named_in_our_words(product: httpx.AsyncClient) -> None:
    address = "/api/v2/public/linked-account/integration/save-key-credentials/sandbox-key"
    body = (await product.put(address, json={"api_key": "planted"})).json()
    assert (body["error_code"], body["fields"], body["reason"]) == (
        "credentials_refused",
        ["api_key"],
        "credentials_invalid",
    )
    assert "planted" not in str(body)
    wrong = (await product.put(address, json={"api_key": "no header\ncarries it"})).json()
    assert (wrong["error_code"], wrong["wrong"]) == ("invalid_fields", ["api_key"])
    assert (await product.get("/v1/connections")).json()["connections"] == []
