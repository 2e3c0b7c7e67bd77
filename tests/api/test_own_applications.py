"""Applications that an organization brings itself: defined by API, seen by nobody else, and like any other."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
import yaml

import everlink as everlink_client
from dev.config import ROOT, SANDBOX_IN_CATALOG
from everlink.contract import AuthType, Environment, KeyScope
from store import own_applications
from store.api_keys import ApiKeys
from store.database import utc_now
from store.scope import Scope
from tests.api.conftest import Everlink, until_status

CATALOG, OWN, OWN_KEY = "/v1/catalog", "/v1/catalog/own-sandbox", "/v1/catalog/own-key"
CLIENT = {"client_id": "everlink-sandbox", "client_secret": "sandbox-secret"}
INTEGRATION = "/api/v2/public/linked-account/integration"
PLANTED = "planted-7f3a"


def definition(everlink: Everlink, file: str, **changes: Any) -> dict[str, Any]:
    """A sandbox's entry as an organization would send it."""
    text = (ROOT / "sandbox" / "catalog" / f"{file}.yaml").read_text().replace(SANDBOX_IN_CATALOG, everlink.sandbox)
    found = yaml.safe_load(text)
    return {**{name: value for name, value in found.items() if name != "slug"}, **changes}


def refused(answer: httpx.Response, status: int, code: str) -> bool:
    return (answer.status_code, answer.json()["error_code"]) == (status, code)


async def scope_of(everlink: Everlink, product: httpx.AsyncClient) -> Scope:
    key = await everlink.made.api_keys.authenticate(product.headers["x-api-key"], utc_now())
    assert key is not None
    return key.scope


async def add(everlink: Everlink, product: httpx.AsyncClient, file: str = "sandbox", **changes: Any) -> dict[str, Any]:
    slug = file.replace("sandbox-key", "key")
    answer = await product.put(f"{CATALOG}/own-{slug}", json=definition(everlink, file, **changes))
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_own_oauth2_application_lives_like_any_other(everlink: Everlink, product: httpx.AsyncClient) -> None:
    assert refused(await product.put("/v1/applications/own-sandbox", json=CLIENT), 404, "application_not_found")
    saved = await add(everlink, product, name="Ours")
    assert (saved["slug"], saved["own"], saved["enabled"]) == ("own-sandbox", True, False)
    enabled = (await product.put("/v1/applications/own-sandbox", json=CLIENT)).json()
    assert enabled["redirect_uri"].endswith("/api/v1/own-sandbox/callback")

    link = (await product.get(f"{INTEGRATION}/oauth-url/own-sandbox")).json()["auth_url"]
    async with everlink.customer() as customer:
        page = await customer.consent(link)
        assert page.status_code == 200
        [connection] = (await product.get("/v1/connections", params={"application": "own-sandbox"})).json()[
            "connections"
        ]
        assert connection["status"] == "active" and connection["identifier"].startswith("ada")
        first = (await product.get(f"/v1/connections/{connection['id']}/token")).json()
        fresh = (await product.post(f"/v1/connections/{connection['id']}/refresh")).json()
        assert fresh["generation"] == first["generation"] + 1

        seen = (await product.get("/api/v2/public/application/own-sandbox")).json()
        assert (seen["name"], seen["connected"], seen["reauth_required"]) == ("Ours", True, False)
        endpoint = {"url": "http://127.0.0.1:9/", "events": ["Connection Expired"], "applications": ["own-sandbox"]}
        assert (await product.post("/v1/webhook-endpoints", json=endpoint)).status_code == 201

        await customer.revoke()
    await product.post(f"/v1/connections/{connection['id']}/report")
    dead = await until_status(product, connection["id"], "reauth_required")
    assert dead["reason"] == "access_revoked"
    again = (await product.post(f"/v1/connections/{connection['id']}/reconnect")).json()["connect_url"]
    async with everlink.customer() as customer:
        assert (await customer.consent(again)).status_code == 200
    await until_status(product, connection["id"], "active")
    assert (await product.delete(f"/v1/connections/{connection['id']}")).json()["status"] == "disconnected"


async def test_own_key_based_application_lives_like_any_other(everlink: Everlink, product: httpx.AsyncClient) -> None:
    await add(everlink, product, "sandbox-key", name="Our keys")
    assert (await product.put("/v1/applications/own-key", json={})).status_code == 200
    save = f"{INTEGRATION}/save-key-credentials/own-key"
    assert refused(await product.put(save, json={"api_key": "wrong"}), 422, "credentials_refused")
    async with everlink.customer() as customer:
        _, key = await customer.create_key()
        assert (await product.put(save, json={"api_key": key})).status_code == 200
    [connection] = (await product.get("/v1/connections", params={"application": "own-key"})).json()["connections"]
    token = (await product.get(f"/v1/connections/{connection['id']}/token")).json()
    assert token["fields"] == {"api_key": key}
    session = await product.post("/api/v2/public/session-token", json={"linked_account_id": "acme"})
    async with httpx.AsyncClient(
        base_url=everlink.url, headers={"authorization": f"Bearer {session.json()['token']}"}
    ) as browser:
        assert "Our keys" in (await browser.get("/api/v2/f-sdk/application")).text
        url = (await browser.post("/api/v2/public/connect-url")).json()["hosted_url"]
        page = await browser.get(url, headers={"authorization": ""}, follow_redirects=True)
        assert "Our keys" in page.text


async def test_change_holds_from_the_next_request_on(everlink: Everlink, product: httpx.AsyncClient) -> None:
    await add(everlink, product, "sandbox-key")
    await product.put("/v1/applications/own-key", json={})
    async with everlink.customer() as customer:
        _, key = await customer.create_key()
    save = f"{INTEGRATION}/save-key-credentials/own-key"
    field = {"name": "api_key", "label": "Key", "pattern": "pk_.+"}
    await add(everlink, product, "sandbox-key", fields=[field])
    heard = await product.put(save, json={"api_key": key})
    assert refused(heard, 422, "invalid_fields") and heard.json()["wrong"] == ["api_key"]
    await add(everlink, product, "sandbox-key", fields=[{**field, "pattern": "sk_.+"}])
    assert (await product.put(save, json={"api_key": key})).status_code == 200


async def test_how_it_connects_stays_while_it_is_used_and_so_does_the_entry(
    everlink: Everlink, product: httpx.AsyncClient
) -> None:
    await add(everlink, product, "sandbox-key")
    assert (await product.put(OWN_KEY, json=definition(everlink, "sandbox"))).status_code == 200
    await add(everlink, product, "sandbox-key")
    await product.put("/v1/applications/own-key", json={})
    async with everlink.customer() as customer:
        _, key = await customer.create_key()
    await product.put(f"{INTEGRATION}/save-key-credentials/own-key", json={"api_key": key})

    async def is_held() -> bool:
        changed = await product.put(OWN_KEY, json=definition(everlink, "sandbox"))
        gone = await product.delete(OWN_KEY)
        return refused(changed, 409, "application_in_use") and refused(gone, 409, "application_in_use")

    assert await is_held()
    [connection] = (await product.get("/v1/connections", params={"application": "own-key"})).json()["connections"]
    removal = (await product.delete("/v1/applications/own-key")).json()
    while (await product.get(f"/v1/removals/{removal['id']}")).json()["finished_at"] is None:
        pass
    assert await is_held()  # without it the connection could not be disconnected in order
    assert (await product.delete(f"/v1/connections/{connection['id']}")).status_code == 200
    assert (await product.put(OWN_KEY, json=definition(everlink, "sandbox"))).status_code == 200
    assert (await product.delete(OWN_KEY)).status_code == 204
    assert refused(await product.delete(OWN_KEY), 404, "application_not_found")
    assert refused(await product.get(OWN_KEY), 404, "application_not_found")


@pytest.mark.parametrize(
    ("change", "loc"),
    [
        ({"colour": PLANTED}, ["body", "colour"]),
        ({"slug": "slack"}, ["body", "slug"]),
        ({"auth_type": PLANTED}, ["body", "auth_type"]),
        ({"name": ""}, ["body", "name"]),
        ({"name": PLANTED * 20}, ["body", "name"]),
        ({"icon": f"http://{PLANTED}.example/"}, ["body", "icon"]),
        ({"oauth2": {"token_url": "https://a.example/"}}, ["body", "oauth2"]),
        ({"oauth2": {"authorize_url": "https://a.example/", "token_url": 7}}, ["body", "oauth2", "token_url"]),
        ({"oauth2": {"token_url": f"ftp://{PLANTED}/"}}, ["body", "oauth2", "token_url"]),
        ({"fields": [{"name": "site", "label": "x", "pattern": f"({PLANTED}"}]}, ["body", "fields", 0, "pattern"]),
        ({"probe": {"url": "https://a.example/", "every_seconds": True}}, ["body", "probe", "every_seconds"]),
        ({"probe": {"url": "https://a.example/", "every_seconds": 0.001}}, ["body", "probe", "every_seconds"]),
        (
            {"probe": {"url": "https://a.example/", "headers": {"Transfer-Encoding": PLANTED}}},
            ["body", "probe", "headers", "Transfer-Encoding", "[key]"],
        ),
        ({"identity": {"id": PLANTED}}, ["body", "identity"]),
        ({"limits": {"concurrency": "many"}}, ["body", "limits", "concurrency"]),
        ({"description": "a\0b"}, ["body"]),
    ],
    ids=str,
)
async def test_fault_is_named_by_its_place_and_no_value_is_shown(
    everlink: Everlink, product: httpx.AsyncClient, change: dict[str, Any], loc: list[Any]
) -> None:
    answer = await product.put(OWN, json=definition(everlink, "sandbox", **change))
    assert refused(answer, 422, "invalid_request")
    assert loc in [one["loc"] for one in answer.json()["details"]]
    assert PLANTED not in answer.text
    assert (await product.get(OWN)).status_code == 404


@pytest.mark.parametrize(
    "url",
    [
        "http://a.example/",
        "https://10.0.0.1/token",
        "https://169.254.169.254/latest",
        "https://[::1]/",
        "https://127.0.0.1.nip.invalid/",
        "https://1.1.1.1:8443/",
        "http://{site}.a.example/",
    ],
)
async def test_address_that_is_not_public_is_refused_at_once(
    everlink: Everlink, product: httpx.AsyncClient, url: str
) -> None:
    fields = [{"name": "site", "label": "Site", "type": "text"}]
    good = definition(everlink, "sandbox", fields=fields)
    for place in ("token_url", "revoke_url", "authorize_url", "introspect_url"):
        answer = await product.put(OWN, json={**good, "oauth2": {**good["oauth2"], place: url}})
        assert refused(answer, 422, "catalog_url_refused"), answer.text
        assert [one["loc"] for one in answer.json()["details"]] == [["body", "oauth2", place]]
    answer = await product.put(OWN, json={**good, "probe": {"url": url, "headers": {}}})
    assert refused(answer, 422, "catalog_url_refused")
    assert (await product.get(OWN)).status_code == 404


async def test_definition_has_a_size_and_an_organization_so_many(
    everlink: Everlink, product: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own_applications, "MOST", 1)
    params = {f"p{number}": "x" * 1000 for number in range(40)}
    large = definition(everlink, "sandbox")
    large["oauth2"]["authorize_params"] = params
    assert refused(await product.put(OWN, json=large), 413, "body_too_large")
    await add(everlink, product)
    await add(everlink, product)
    answer = await product.put(OWN_KEY, json=definition(everlink, "sandbox-key"))
    assert refused(answer, 409, "too_many_applications")


@pytest.mark.parametrize("slug", ["slack", "sandbox", "own", "own-", "own-Big", "own-a.b", "own-" + "a" * 61, "mine"])
async def test_only_a_slug_of_one_s_own_is_written(everlink: Everlink, product: httpx.AsyncClient, slug: str) -> None:
    answer = await product.put(f"{CATALOG}/{slug}", json=definition(everlink, "sandbox-key"))
    assert refused(answer, 422, "not_an_own_application")
    assert refused(await product.delete(f"{CATALOG}/{slug}"), 422, "not_an_own_application")


async def test_nobody_else_knows_of_it(everlink: Everlink, product: httpx.AsyncClient) -> None:
    await add(everlink, product)
    scope = await scope_of(everlink, product)
    for stranger in (
        await everlink.product("Other"),
        await everlink.client(Scope(scope.org_id, Environment.PRODUCTION)),
    ):
        assert refused(await stranger.get(OWN), 404, "application_not_found")
        assert refused(await stranger.delete(OWN), 404, "application_not_found")
        assert refused(await stranger.put("/v1/applications/own-sandbox", json={}), 404, "application_not_found")
        assert "own-sandbox" not in (await stranger.get(CATALOG, params={"limit": 200})).text
        endpoint = {"url": "http://127.0.0.1:9/", "events": ["Connection Expired"], "applications": ["own-sandbox"]}
        assert refused(await stranger.post("/v1/webhook-endpoints", json=endpoint), 422, "unknown_application")
        await add(everlink, stranger, name="Theirs")
    assert (await product.get(OWN)).json()["definition"]["name"] == "Sandbox"
    async with httpx.AsyncClient(base_url=everlink.url) as anybody:
        assert (await anybody.get("/api/v2/public/auth-structure/own-sandbox")).status_code == 404


async def test_writing_is_the_admins_and_reading_the_readers(everlink: Everlink, product: httpx.AsyncClient) -> None:
    await add(everlink, product)
    scope = await scope_of(everlink, product)
    product.headers["x-api-key"] = await ApiKeys(everlink.made.database).add(
        scope, "reads", utc_now(), scopes=[KeyScope.READ]
    )
    assert (await product.get(OWN)).status_code == 200 and (await product.get(CATALOG)).status_code == 200
    assert refused(await product.delete(OWN), 403, "insufficient_scope")


async def test_what_is_answered_can_be_sent_again(everlink: Everlink, product: httpx.AsyncClient) -> None:
    first = await add(everlink, product, icon="")
    again = await product.put(OWN, json=first["definition"])
    assert again.json() == first == (await product.get(OWN)).json()
    built_in = (await product.get(f"{CATALOG}/salesforce")).json()
    assert not built_in["own"] and built_in["definition"]["oauth2"]["token_url"].startswith("https://")
    assert "slug" not in built_in["definition"]


async def test_list_goes_on_and_is_narrowed(everlink: Everlink, product: httpx.AsyncClient) -> None:
    await add(everlink, product, tags=["Ours", "CRM"], description="Counts the beans")
    await product.put("/v1/applications/own-sandbox", json=CLIENT)
    everything = (await product.get(CATALOG, params={"limit": 200})).json()["applications"]
    slugs = [one["slug"] for one in everything]
    assert slugs == sorted(slugs) and {"own-sandbox", "sandbox", "sandbox-key", "slack"} <= set(slugs)
    assert {one["slug"] for one in everything if one["enabled"]} == {"own-sandbox", "sandbox", "sandbox-key"}
    assert [one["slug"] for one in everything if one["own"]] == ["own-sandbox"]

    async with everlink_client.Client(everlink.url, product.headers["x-api-key"]) as client:
        walked = [one.slug async for one in client.catalog.all()]
        keys = [one async for one in client.catalog.all(auth_type=AuthType.KEY_BASED)]
        tagged = [one.slug async for one in client.catalog.all(tag="ours")]
        said = [one.slug async for one in client.catalog.all(q="BEANS")]
    assert walked == slugs
    assert all(one.auth_type is AuthType.KEY_BASED and one.fields for one in keys)
    assert "sandbox-key" in [one.slug for one in keys] and "slack" not in [one.slug for one in keys]
    assert tagged == said == ["own-sandbox"]
    [key] = [one for one in keys if one.slug == "sandbox-key"]
    assert key.auth_kind == "key" and key.lifetimes == ["it is tried every 15 seconds"]
    first = (await product.get(CATALOG, params={"limit": 1})).json()
    second = (await product.get(CATALOG, params={"limit": 1, "cursor": first["next_cursor"]})).json()
    assert [one["slug"] for page in (first, second) for one in page["applications"]] == slugs[:2]
    assert refused(await product.get(CATALOG, params={"cursor": "forged"}), 422, "invalid_cursor")


async def test_definition_of_an_older_schema_hurts_nobody_else(everlink: Everlink, product: httpx.AsyncClient) -> None:
    await add(everlink, product)
    await product.put("/v1/applications/own-sandbox", json=CLIENT)
    scope = await scope_of(everlink, product)
    await everlink.made.own_applications.save(scope, "own-sandbox", {"auth_type": "oauth2", "oauth2": {}}, utc_now())
    assert refused(await product.get(OWN), 404, "application_not_found")
    assert "own-sandbox" not in (await product.get(CATALOG, params={"limit": 200})).text
    assert (await product.get("/api/v2/public/application")).status_code == 200
    await add(everlink, product)
    assert (await product.get(OWN)).json()["enabled"]


async def test_export_has_it(everlink: Everlink, product: httpx.AsyncClient) -> None:
    await add(everlink, product)
    lines = [json.loads(line) for line in (await product.get("/v1/export")).text.splitlines()]
    [record] = [line for line in lines if line["record"] == "own_application"]
    assert (record["slug"], record["definition"]["auth_type"]) == ("own-sandbox", "oauth2")


async def test_client_brings_and_forgets_one(everlink: Everlink, product: httpx.AsyncClient) -> None:
    async with everlink_client.Client(everlink.url, product.headers["x-api-key"]) as client:
        saved = await client.catalog.save("own-key", definition(everlink, "sandbox-key"))
        assert saved == await client.catalog.get("own-key") and saved.own
        await client.catalog.remove("own-key")
        with pytest.raises(everlink_client.NotFound):
            await client.catalog.get("own-key")
