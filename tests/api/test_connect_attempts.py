"""A script starts a connect by its session token, and learns from us what came of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import update

from api import waiting
from api.wording import Words
from everlink.contract import Environment
from store.database import utc_now
from store.tables import CONNECT_TICKETS, CONNECTIONS
from tests.api.conftest import Everlink, until_status
from tests.api.test_sessions import bearer, session
from tests.api.test_waiting import until

ATTEMPTS = "/v1/connect-attempts"


@pytest.fixture
async def browser(everlink: Everlink, product: httpx.AsyncClient) -> AsyncIterator[httpx.AsyncClient]:
    async with page_of(everlink, (await session(product))["token"]) as client:
        yield client


def page_of(everlink: Everlink, token: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=everlink.url, headers=bearer(token), timeout=40)


async def start(browser: httpx.AsyncClient, application: str = "sandbox", **more: Any) -> dict[str, Any]:
    answer = await browser.post(ATTEMPTS, json={"application": application, **more})
    assert answer.status_code == 201, answer.text
    assert answer.headers["cache-control"] == "no-store"
    started: dict[str, Any] = answer.json()
    return started


async def look(browser: httpx.AsyncClient, attempt: dict[str, Any], wait: float = 0) -> dict[str, Any]:
    answer = await browser.get(f"{ATTEMPTS}/{attempt['id']}", params={"wait": wait})
    assert answer.status_code == 200, answer.text
    seen: dict[str, Any] = answer.json()
    return seen


async def consent(everlink: Everlink, attempt: dict[str, Any], name: str = "ada", *, allow: bool = True) -> int:
    async with everlink.customer(name) as customer:
        return (await customer.consent(attempt["connect_url"], allow)).status_code


async def broken(everlink: Everlink, product: httpx.AsyncClient, name: str = "ada") -> str:
    """A connection whose customer has revoked it."""
    connection = await everlink.connect(product, name)
    async with everlink.customer(name) as customer:
        await customer.revoke()
    await product.post(f"/v1/connections/{connection}/report", json={})
    await until_status(product, connection, "reauth_required")
    return connection


async def test_attempt_is_open_fails_and_connects(everlink: Everlink, browser: httpx.AsyncClient) -> None:
    attempt = await start(browser)
    assert set(attempt) == {"id", "connect_url", "expires_at"} and attempt["id"] not in attempt["connect_url"]
    opened = {"connection_id": None, "error_code": None, "message": None}
    assert await look(browser, attempt) == {"id": attempt["id"], "application": "sandbox", "status": "open"} | opened
    assert await consent(everlink, attempt, allow=False) == 400
    failed = await look(browser, attempt, 20)
    words = Words("en")("trouble.access_denied", application="Sandbox")
    assert (failed["status"], failed["error_code"], failed["message"]) == ("failed", "access_denied", words)
    assert await consent(everlink, attempt) == 200
    connected = await look(browser, attempt, 20)
    assert (connected["status"], connected["error_code"], connected["message"]) == ("connected", None, None)
    [account] = (await browser.get("/api/v2/f-sdk/application/sandbox")).json()["connected_accounts"]
    assert connected["connection_id"] == account["connection_id"]


async def test_long_poll_answers_when_the_customer_is_back(everlink: Everlink, browser: httpx.AsyncClient) -> None:
    attempt = await start(browser)
    polls = [asyncio.create_task(look(browser, attempt, 60)) for _ in range(2)]
    await until(lambda: len(everlink.made.waiting_for_attempts._waiters) == 2)
    assert await consent(everlink, attempt) == 200
    async with asyncio.timeout(20):
        assert {seen["status"] for seen in await asyncio.gather(*polls)} == {"connected"}
    await until(lambda: not everlink.made.waiting_for_attempts.is_watching)


async def test_long_poll_ends_with_its_time_and_with_its_client(everlink: Everlink, browser: httpx.AsyncClient) -> None:
    attempt = await start(browser)
    assert (await look(browser, attempt, 0.3))["status"] == "open"
    poll = asyncio.create_task(look(browser, attempt, 60))
    await until(lambda: len(everlink.made.waiting_for_attempts._waiters) == 1)
    poll.cancel()
    await until(lambda: not everlink.made.waiting_for_attempts._waiters)


async def test_too_many_who_wait_are_sent_away(
    everlink: Everlink, browser: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "MOST", 0)
    answer = await browser.get(f"{ATTEMPTS}/{(await start(browser))['id']}", params={"wait": 5})
    assert (answer.status_code, answer.json()["error_code"]) == (503, "too_many_waiting")


async def test_attempt_expires_while_it_is_waited_for(everlink: Everlink, browser: httpx.AsyncClient) -> None:
    attempt = await start(browser)
    poll = asyncio.create_task(look(browser, attempt, 60))
    await until(lambda: len(everlink.made.waiting_for_attempts._waiters) == 1)
    async with everlink.made.database.writing() as writing:
        mine = CONNECT_TICKETS.c.id == attempt["id"]
        await writing.execute(update(CONNECT_TICKETS).where(mine).values(expires_at=utc_now() - timedelta(seconds=1)))
    async with asyncio.timeout(20):
        expired = await poll
    assert (expired["status"], expired["error_code"]) == ("expired", "link_expired")
    assert await consent(everlink, attempt) == 404


async def test_the_only_connection_that_needs_its_customer_is_mended(
    everlink: Everlink, product: httpx.AsyncClient, browser: httpx.AsyncClient
) -> None:
    connection = await broken(everlink, product)
    wrong = await start(browser)
    assert await consent(everlink, wrong, "grace") == 409
    seen = await look(browser, wrong, 20)
    assert (seen["status"], seen["error_code"], seen["connection_id"]) == ("failed", "different_account", None)
    right = await start(browser)
    assert await consent(everlink, right) == 200
    assert (await look(browser, right))["connection_id"] == connection
    assert (await product.get(f"/v1/connections/{connection}")).json()["status"] == "active"


async def test_of_several_that_need_their_customer_the_named_one_is_mended(
    everlink: Everlink, product: httpx.AsyncClient, browser: httpx.AsyncClient
) -> None:
    first, second = await broken(everlink, product), await everlink.connect(product, "grace")
    async with everlink.made.database.writing() as writing:
        mine = CONNECTIONS.c.id == second
        await writing.execute(update(CONNECTIONS).where(mine).values(status="reauth_required"))
    unnamed = await start(browser)
    assert await consent(everlink, unnamed) == 200  # either account is welcome
    assert (await look(browser, unnamed))["connection_id"] == first
    named = await start(browser, connection_id=second)
    assert await consent(everlink, named) == 409
    assert (await look(browser, named))["error_code"] == "different_account"


async def test_link_that_leads_nowhere_any_more_has_failed(
    everlink: Everlink, product: httpx.AsyncClient, browser: httpx.AsyncClient
) -> None:
    attempt = await start(browser)
    assert (await product.delete("/v1/applications/sandbox")).is_success
    assert await consent(everlink, attempt) == 409
    assert (await look(browser, attempt))["error_code"] == "application_not_configured"


async def test_words_are_in_the_browsers_language_where_there_are_such(
    everlink: Everlink, browser: httpx.AsyncClient
) -> None:
    attempt = await start(browser)
    await consent(everlink, attempt, allow=False)
    for asked, language in (("tlh, de-AT, de;q=0.9, en;q=0.5", "de"), ("tlh", "en")):
        browser.headers["accept-language"] = asked
        words = Words(language)("trouble.access_denied", application="Sandbox")
        assert (await look(browser, attempt))["message"] == words


async def test_attempt_is_its_linked_accounts_own(
    everlink: Everlink, product: httpx.AsyncClient, browser: httpx.AsyncClient
) -> None:
    await product.post("/api/v2/public/linked-account", json={"account_id": "other"})
    production = await everlink.product(environment=Environment.PRODUCTION)
    tokens = [
        (await session(product, "other"))["token"],
        (await session(await everlink.product("Another")))["token"],
        (await session(production))["token"],
    ]
    attempt, connection = await start(browser), await everlink.connect(product)
    for token in tokens:
        async with page_of(everlink, token) as stranger:
            seen = await stranger.get(f"{ATTEMPTS}/{attempt['id']}", params={"wait": 5})
            unknown = await stranger.get(f"{ATTEMPTS}/{'0' * 32}")
            mended = await stranger.post(ATTEMPTS, json={"application": "sandbox", "connection_id": connection})
        assert (seen.status_code, seen.json()["error_code"]) == (404, "connect_attempt_not_found")
        assert {**seen.json(), "request_id": None} == {**unknown.json(), "request_id": None}
        assert (mended.status_code, mended.json()["error_code"]) == (404, "connection_not_found")


async def test_only_a_session_token_may(everlink: Everlink, product: httpx.AsyncClient) -> None:
    async with httpx.AsyncClient(base_url=everlink.url) as anybody:
        for client in (anybody, product):
            answer = await client.post(ATTEMPTS, json={"application": "sandbox"})
            assert (answer.status_code, answer.json()["error_code"]) == (401, "invalid_session_token")
            assert (await client.get(f"{ATTEMPTS}/some")).status_code == 401


@pytest.mark.parametrize(
    ("wish", "status", "error_code"),
    [
        ({"application": "sandbox-key"}, 400, "not_oauth2"),
        ({"application": "slack"}, 404, "application_not_found"),
        ({"application": "nothing"}, 404, "application_not_found"),
        ({"application": "sandbox", "connection_id": "con_none"}, 404, "connection_not_found"),
        ({"application": "sandbox", "fields": {"subdomain": "acme"}}, 422, "invalid_fields"),
        ({}, 422, "invalid_request"),
        ({"application": ""}, 422, "invalid_request"),
    ],
)
async def test_attempt_that_cannot_be_made_is_refused(
    browser: httpx.AsyncClient, wish: dict[str, Any], status: int, error_code: str
) -> None:
    answer = await browser.post(ATTEMPTS, json=wish)
    assert (answer.status_code, answer.json()["error_code"]) == (status, error_code)


async def test_connection_that_has_ended_or_is_of_another_application_is_not_mended(
    everlink: Everlink, product: httpx.AsyncClient, browser: httpx.AsyncClient
) -> None:
    connection = await everlink.connect(product)
    other = await browser.post(ATTEMPTS, json={"application": "sandbox-key", "connection_id": connection})
    assert (other.status_code, other.json()["error_code"]) == (404, "connection_not_found")
    await product.delete(f"/v1/connections/{connection}")
    ended = await browser.post(ATTEMPTS, json={"application": "sandbox", "connection_id": connection})
    assert (ended.status_code, ended.json()["error_code"]) == (409, "connection_disconnected")


@pytest.mark.parametrize("wait", [-1, 61, "nan", "long"])
async def test_wait_that_is_none_is_refused(browser: httpx.AsyncClient, wait: object) -> None:
    answer = await browser.get(f"{ATTEMPTS}/some", params={"wait": str(wait)})
    assert (answer.status_code, answer.json()["error_code"]) == (422, "invalid_request")


async def test_key_says_which_connection_came_of_it(everlink: Everlink, browser: httpx.AsyncClient) -> None:
    async with everlink.customer() as customer:
        _, key = await customer.create_key()
    saved = (await browser.post("/api/v2/app/sandbox-key/save", json={"api_key": key})).json()
    [account] = (await browser.get("/api/v2/f-sdk/application/sandbox-key")).json()["connected_accounts"]
    assert saved == {"success": True, "connection_id": account["connection_id"]}
