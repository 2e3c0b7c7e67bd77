"""A link for the customer's browser: good for one application, one linked account, once."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import httpx
import pytest
from sqlalchemy import select

from store.database import utc_now
from store.tables import CREDENTIALS
from tests.api.conftest import Everlink
from tests.api.visitor import Visitor


async def connections(product: httpx.AsyncClient) -> list[dict[str, object]]:
    found: list[dict[str, object]] = (await product.get("/v1/connections")).json()["connections"]
    return found


async def test_link_connects_one_account_though_it_was_open_in_two_browsers(
    product: httpx.AsyncClient, ada: Visitor, grace: Visitor, link: str
) -> None:
    hers, stolen = await ada.consent_only(link), await grace.consent_only(link)
    assert (await ada.open(hers)).status_code == 200
    page = await grace.open(stolen)
    assert "has done its work" in page.text
    [only] = await connections(product)
    assert (only["identifier"], only["sequence"]) == ("ada@acme.example", 1)


async def test_link_clicked_twice_ends_well_in_both_tabs(product: httpx.AsyncClient, ada: Visitor, link: str) -> None:
    first, second = await ada.consent_only(link), await ada.consent_only(link)
    pages = [await ada.open(first), await ada.open(second)]
    assert [(page.status_code, "Connected" in page.text) for page in pages] == [(200, True), (200, True)]
    [only] = await connections(product)
    assert (await product.get(f"/v1/connections/{only['id']}/token")).status_code == 200


async def test_both_tabs_at_the_same_moment_make_one_connection(
    product: httpx.AsyncClient, ada: Visitor, link: str
) -> None:
    answers = [await ada.consent_only(link) for _ in range(2)]
    pages = await asyncio.gather(*(ada.open(answer) for answer in answers))
    assert [page.status_code for page in pages] == [200, 200]
    [only] = await connections(product)
    refreshed = (await product.post(f"/v1/connections/{only['id']}/refresh")).json()
    assert (refreshed["verdict"], refreshed["status"]) == ("ok", "active")


async def test_denial_leaves_the_link_good_for_another_try(product: httpx.AsyncClient, ada: Visitor, link: str) -> None:
    assert (await ada.consent(link, allow=False)).status_code == 400
    assert await connections(product) == []
    assert (await ada.consent(link)).status_code == 200
    assert len(await connections(product)) == 1


@pytest.mark.parametrize("secret", ["", "a", "../../v1/connections", "%FF", "a" * 5000])
async def test_link_that_nobody_made_is_not_found(everlink: Everlink, ada: Visitor, secret: str) -> None:
    page = await ada.open(f"{everlink.url}/connect/start/{secret}")
    assert page.status_code in (401, 404)
    assert page.url.host == "127.0.0.1" and "location" not in page.headers


async def test_link_lives_a_quarter_of_an_hour(
    everlink: Everlink, product: httpx.AsyncClient, ada: Visitor, link: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(everlink.made, "clock", lambda: utc_now() + timedelta(minutes=14, seconds=30))
    assert (await ada.consent_only(link)).params["code"]
    monkeypatch.setattr(everlink.made, "clock", lambda: utc_now() + timedelta(minutes=15))
    page = await ada.open(link)
    assert page.status_code == 404 and "expired" in page.text


@pytest.mark.parametrize("closed", [False, True], ids=["while it ends", "when all is over"])
async def test_reconnect_of_a_connection_that_ended_meanwhile_revives_nothing(
    everlink: Everlink, product: httpx.AsyncClient, ada: Visitor, closed: bool
) -> None:
    connection = await everlink.connect(product)
    again = (await product.post(f"/v1/connections/{connection}/reconnect")).json()["connect_url"]
    answer = await ada.consent_only(again)
    assert (await product.delete(f"/v1/connections/{connection}")).status_code == 200
    workflow = everlink.made.temporal.get_workflow_handle(f"connection/{connection}")
    if closed:
        await workflow.result()
    page = await ada.open(answer)
    assert page.status_code == 409 and "ended" in page.text
    await workflow.result()  # the latest run is closed: no other was started
    assert (await product.get(f"/v1/connections/{connection}")).json()["status"] == "disconnected"
    async with everlink.made.database.reading() as reading:
        kept = await reading.execute(select(CREDENTIALS).where(CREDENTIALS.c.connection_id == connection))
        assert kept.all() == []
    assert await everlink.connect(product) != connection
