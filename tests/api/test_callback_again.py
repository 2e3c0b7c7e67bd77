"""A double click, the back button, a page loaded again, two tabs: the customer ends up connected, once."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta
from typing import Any

import httpx
import pytest

from api import arriving, waiting
from store.database import utc_now
from store.tickets import Ticket
from tests.api.conftest import Everlink
from tests.api.visitor import Visitor


async def only_connection(product: httpx.AsyncClient) -> dict[str, object]:
    found: list[dict[str, object]] = (await product.get("/v1/connections")).json()["connections"]
    [only] = found
    assert (await product.get(f"/v1/connections/{only['id']}/token")).status_code == 200
    return only


async def test_replayed_state_at_the_same_moment_ends_well_and_connects_once(
    product: httpx.AsyncClient, ada: Visitor, link: str
) -> None:
    answer = await ada.consent_only(link)
    pages = await asyncio.gather(*(ada.open(answer) for _ in range(4)))
    assert [(page.status_code, "Connected" in page.text) for page in pages] == [(200, True)] * 4
    assert (await only_connection(product))["sequence"] == 1


async def test_replayed_state_with_another_code_shows_what_the_first_did(
    product: httpx.AsyncClient, ada: Visitor, link: str
) -> None:
    answer = await ada.consent_only(link)
    assert (await ada.open(answer)).status_code == 200
    for change in ({"code": "forged"}, {"error": "access_denied"}, {"iss": "https://evil.example"}):
        page = await ada.open(answer.copy_merge_params(change))
        assert page.status_code == 200 and "Connected" in page.text
    assert (await only_connection(product))["sequence"] == 1


async def test_browser_that_goes_away_in_the_middle_finds_out_by_loading_again(
    everlink: Everlink, product: httpx.AsyncClient, ada: Visitor, link: str
) -> None:
    answer = await ada.consent_only(link)
    browser = str(ada._browser.cookies["everlink_browser"])
    opening = asyncio.create_task(ada.open(answer))
    async with asyncio.timeout(10):
        while not await everlink.made.tickets.arrived(answer.params["state"], browser, "sandbox", utc_now()):
            await asyncio.sleep(0.005)
    opening.cancel()
    with suppress(asyncio.CancelledError):
        await opening
    page = await ada.open(answer)
    assert page.status_code == 200 and "Connected" in page.text
    assert (await only_connection(product))["sequence"] == 1


async def test_answer_of_a_denial_loaded_again_is_used_up_until_another_try_connects(
    product: httpx.AsyncClient, ada: Visitor, link: str
) -> None:
    denied = await ada.consent_only(link, allow=False)
    assert "was not granted" in (await ada.open(denied)).text
    page = await ada.open(denied)
    assert page.status_code == 400 and "used before" in page.text
    assert (await ada.consent(link)).status_code == 200
    page = await ada.open(denied)
    assert page.status_code == 200 and "Connected" in page.text
    await only_connection(product)


async def test_back_button_to_the_consent_page_connects_the_same_connection(
    product: httpx.AsyncClient, ada: Visitor, link: str
) -> None:
    first = await ada.consent_only(link)
    second = await ada.consent_only(link)  # back, and Allow once more
    assert (await ada.open(second)).status_code == 200
    before = await only_connection(product)
    page = await ada.open(first)
    assert page.status_code == 200 and "Connected" in page.text
    assert await only_connection(product) == before
    assert "done its work" in (await ada.open(link)).text  # back to the very start


async def test_two_tabs_of_a_reconnect_both_finish(
    everlink: Everlink, product: httpx.AsyncClient, ada: Visitor
) -> None:
    connection = await everlink.connect(product)
    links = [(await product.post(f"/v1/connections/{connection}/reconnect")).json()["connect_url"] for _ in range(2)]
    answers = [await ada.consent_only(link) for link in links]
    pages = await asyncio.gather(*(ada.open(answer) for answer in answers))
    assert [page.status_code for page in pages] == [200, 200]
    only = await only_connection(product)
    assert (only["id"], only["status"]) == (connection, "active")
    assert (await product.post(f"/v1/connections/{connection}/refresh")).json()["verdict"] == "ok"


async def test_what_was_connected_is_shown_to_no_other_browser_and_not_for_ever(
    everlink: Everlink, product: httpx.AsyncClient, ada: Visitor, link: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = await ada.consent_only(link)
    assert (await ada.open(answer)).status_code == 200
    async with httpx.AsyncClient(cookies={"everlink_browser": "guess"}) as thief:
        page = await thief.get(answer)
        assert page.status_code == 400 and "used before" in page.text
    monkeypatch.setattr(everlink.made, "clock", lambda: utc_now() + timedelta(minutes=10))
    assert (await ada.open(answer)).status_code == 400


async def test_answer_whose_first_visit_never_ends_is_waited_for_only_so_long(
    everlink: Everlink, product: httpx.AsyncClient, ada: Visitor, link: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = await ada.consent_only(link)
    browser = str(ada._browser.cookies["everlink_browser"])
    # As a process does that is killed then.
    assert await everlink.made.tickets.arrive(answer.params["state"], browser, utc_now())
    monkeypatch.setattr(arriving, "PATIENCE_SECONDS", 0.3)
    page = await ada.open(answer)
    assert page.status_code == 400 and "start again" in page.text
    assert (await ada.consent(link)).status_code == 200  # and that works


async def test_answer_loaded_again_when_the_application_has_gone_shows_what_it_did(
    everlink: Everlink, product: httpx.AsyncClient, ada: Visitor, link: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = await ada.consent_only(link)
    assert (await ada.open(answer)).status_code == 200
    monkeypatch.delitem(everlink.made.catalog._entries, "sandbox")
    page = await ada.open(answer)
    assert page.status_code == 200 and "sandbox is connected" in page.text


async def test_many_who_load_an_answer_again_cost_the_store_one_question_at_a_time(
    everlink: Everlink, product: httpx.AsyncClient, ada: Visitor, link: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    denied = await ada.consent_only(link, allow=False)
    assert (await ada.open(denied)).status_code == 400
    await ada.consent_only(link)  # another try is under way, and nobody knows how it ends
    asked, arrived = 0, everlink.made.tickets.arrived

    async def counted(*given: Any) -> Ticket | None:
        nonlocal asked
        asked += 1
        return await arrived(*given)

    monkeypatch.setattr(everlink.made.tickets, "arrived", counted)
    monkeypatch.setattr(arriving, "PATIENCE_SECONDS", 2)
    pages = await asyncio.gather(*(ada.open(denied) for _ in range(5)))
    assert [page.status_code for page in pages] == [400] * 5
    assert asked <= 2 * len(pages)


async def test_where_too_many_wait_an_answer_loaded_again_is_told_to_come_later(
    everlink: Everlink, product: httpx.AsyncClient, ada: Visitor, link: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    denied = await ada.consent_only(link, allow=False)
    assert (await ada.open(denied)).status_code == 400
    await ada.consent_only(link)
    monkeypatch.setattr(waiting, "MOST", 0)
    page = await ada.open(denied)
    assert page.status_code == 503 and "busy" in page.text
