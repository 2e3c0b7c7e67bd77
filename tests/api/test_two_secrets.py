"""A client secret is replaced while customers connect and refresh, and the provider knows only one of the two."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

import httpx
import pytest

from store.database import utc_now
from tests.api.conftest import OAUTH_URL, Everlink

PATH = "/v1/applications/sandbox"


async def test_wrong_new_secret_costs_nobody_anything_while_the_former_lives(
    everlink: Everlink, product: httpx.AsyncClient
) -> None:
    connection = await everlink.connect(product)
    changed = (await product.put(PATH, json={"client_secret": "not-yet-valid"})).json()
    until = datetime.fromisoformat(changed["previous_secret_until"])
    assert timedelta(hours=23) < until - utc_now() <= timedelta(days=1)
    refreshed = (await product.post(f"/v1/connections/{connection}/refresh")).json()
    assert (refreshed["verdict"], refreshed["generation"]) == ("ok", 2)
    other = await everlink.connect(product, "grace")  # the code was traded
    assert (await product.get(PATH)).json()["alarm"] is None
    assert (await product.delete(f"/v1/connections/{other}")).status_code == 200
    async with asyncio.timeout(20):
        while len(timeline := await story(product, other)) < 3:
            await asyncio.sleep(0.05)
    assert timeline[-1]["note"] == "revoked at the provider"


async def story(product: httpx.AsyncClient, connection: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = (await product.get(f"/v1/connections/{connection}/events")).json()["transitions"]
    return found


async def test_secret_that_is_sent_again_replaces_nothing(product: httpx.AsyncClient) -> None:
    assert (await product.get(PATH)).json()["previous_secret_until"] is None
    await product.put(PATH, json={"client_secret": "second"})
    once = (await product.get(PATH)).json()
    again = (await product.put(PATH, json={"client_secret": "second"})).json()
    assert again == once and once["previous_secret_until"] is not None


async def test_former_secret_is_forgotten_at_once_where_it_is_said(product: httpx.AsyncClient) -> None:
    at_once = {"client_secret": "second", "previous_secret_seconds": 0}
    assert (await product.put(PATH, json=at_once)).json()["previous_secret_until"] is None
    await product.put(PATH, json={"client_secret": "third"})
    assert (await product.get(PATH)).json()["previous_secret_until"] is not None
    assert (await product.put(PATH, json={"previous_secret_seconds": 0})).json()["previous_secret_until"] is None


async def test_secret_of_another_client_id_is_no_former_secret(product: httpx.AsyncClient) -> None:
    changed = (await product.put(PATH, json={"client_id": "another", "client_secret": "its-own"})).json()
    assert (changed["client_id"], changed["previous_secret_until"]) == ("another", None)


async def test_null_takes_a_field_back_and_what_is_left_out_stays(product: httpx.AsyncClient) -> None:
    await product.put(PATH, json={"scopes": ["read"]})
    assert (await product.put(PATH, json={})).json()["scopes"] == ["read"]
    bare = (await product.put(PATH, json={"scopes": None, "client_secret": None})).json()
    assert (bare["client_id"], bare["has_client_secret"], bare["scopes"]) == ("everlink-sandbox", False, [])
    assert bare["previous_secret_until"] is None
    assert (await product.put(PATH, json={"client_id": None})).json()["client_id"] is None
    assert (await product.get(OAUTH_URL)).json()["error_code"] == "application_not_configured"


@pytest.mark.parametrize("seconds", [-1, 30 * 86400 + 1, "soon", None], ids=str)
async def test_time_of_the_former_secret_that_is_none_is_a_422(product: httpx.AsyncClient, seconds: object) -> None:
    answer = await product.put(PATH, json={"client_secret": "second", "previous_secret_seconds": seconds})
    assert (answer.status_code, answer.json()["error_code"]) == (422, "invalid_request")
    assert (await product.get(PATH)).json()["previous_secret_until"] is None


async def test_application_that_is_not_enabled_is_a_404(product: httpx.AsyncClient) -> None:
    for slug in ("slack", "nonsense"):
        answer = await product.get(f"/v1/applications/{slug}")
        assert (answer.status_code, answer.json()["error_code"]) == (404, "application_not_found")
