"""The organization's client at a provider: wrong, half given, or gone; its customers are never blamed."""

from __future__ import annotations

import httpx
import pytest
from sqlalchemy import update

from dev.listener import Listener
from store.database import utc_now
from store.tables import APPLICATIONS
from tests.api.conftest import OAUTH_URL, Everlink
from tests.api.visitor import Visitor

PATH = "/v1/applications/sandbox"


async def application(product: httpx.AsyncClient) -> dict[str, object]:
    listed: list[dict[str, object]] = (await product.get("/v1/applications")).json()
    return next(row for row in listed if row["slug"] == "sandbox")


async def test_refused_client_raises_an_alarm_and_asks_no_customer(
    everlink: Everlink, product: httpx.AsyncClient
) -> None:
    connection = await everlink.connect(product)
    assert (await application(product))["alarm"] is None
    await product.put(PATH, json={"client_secret": "planted-wrong", "previous_secret_seconds": 0})
    refreshed = (await product.post(f"/v1/connections/{connection}/refresh")).json()
    assert (refreshed["verdict"], refreshed["status"], refreshed["generation"]) == ("application_error", "active", 1)
    alarmed = await application(product)
    assert alarmed["alarm"] and alarmed["alarm_at"] and "planted" not in str(alarmed)
    assert (await product.get(f"/v1/connections/{connection}/token")).status_code == 200

    await product.put(PATH, json={"client_secret": "sandbox-secret"})
    mended = (await product.post(f"/v1/connections/{connection}/refresh")).json()
    assert (mended["verdict"], mended["status"], mended["generation"]) == ("ok", "active", 2)
    assert (await application(product))["alarm"] is None


async def test_refused_client_is_announced_once_for_all_its_connections(
    everlink: Everlink, product: httpx.AsyncClient
) -> None:
    connections = [await everlink.connect(product, name) for name in ("ada", "grace")]

    async def refresh_all() -> list[str]:
        answers = [await product.post(f"/v1/connections/{one}/refresh") for one in connections * 2]
        return [answer.json()["verdict"] for answer in answers]

    async with Listener() as listener:
        await listener.subscribe(product)
        await product.put(PATH, json={"client_secret": "planted-wrong", "previous_secret_seconds": 0})
        assert set(await refresh_all()) == {"application_error"}
        refused = await listener.wait_for("Application Refused", "sandbox", None)
        await product.put(PATH, json={"client_secret": "sandbox-secret"})
        assert set(await refresh_all()) == {"ok"}
        await listener.wait_for("Application Accepted", "sandbox", None)
    assert [event["event"] for event in listener.received] == ["Application Refused", "Application Accepted"]
    assert refused["environment"] == "test" and "planted" not in str(refused) and "connection_id" not in refused


@pytest.mark.parametrize(
    "given",
    [
        {"client_id": ""},
        {"client_secret": ""},
        {"client_id": "  "},
        {"scopes": [""]},
        {"scopes": ["read", None]},
        {"scopes": {"read": 1}},
    ],
    ids=str,
)
async def test_client_that_is_none_is_a_422_and_changes_nothing(
    product: httpx.AsyncClient, given: dict[str, object]
) -> None:
    before = await application(product)
    answer = await product.put(PATH, json=given)
    assert (answer.status_code, answer.json()["error_code"]) == (422, "invalid_request")
    assert await application(product) == before


async def test_application_without_a_client_gives_no_link(everlink: Everlink, product: httpx.AsyncClient) -> None:
    await forget_client(everlink, product)
    answer = await product.get(OAUTH_URL)
    assert (answer.status_code, answer.json()["error_code"]) == (400, "application_not_configured")


async def test_client_that_goes_away_while_a_customer_connects_is_a_page_on_both_ways(
    everlink: Everlink, product: httpx.AsyncClient
) -> None:
    link = (await product.get(OAUTH_URL)).json()["auth_url"]
    async with Visitor(everlink.sandbox, "ada", "ada-password") as ada:
        answer = await ada.consent_only(link)
        await forget_client(everlink, product)
        for page in (await ada.open(answer), await ada.open(link)):
            assert page.headers["content-type"].startswith("text/html"), page.text
            assert page.status_code == 409 and "not set up here" in page.text
    assert (await product.get("/v1/connections")).json()["connections"] == []


async def test_client_of_one_environment_is_not_the_others(everlink: Everlink, product: httpx.AsyncClient) -> None:
    stranger = await everlink.product("Other")
    await stranger.put(PATH, json={"client_id": "another"})
    assert (await application(product))["client_id"] == "everlink-sandbox"
    assert (await application(stranger))["client_id"] == "another"


async def forget_client(everlink: Everlink, product: httpx.AsyncClient) -> None:
    scope = (await everlink.made.api_keys.authenticate(product.headers["x-api-key"], utc_now())).scope
    assert scope is not None
    async with everlink.made.database.writing() as writing:
        mine = scope.owns(APPLICATIONS) & (APPLICATIONS.c.slug == "sandbox")
        await writing.execute(update(APPLICATIONS).where(mine).values(client_id=None))
