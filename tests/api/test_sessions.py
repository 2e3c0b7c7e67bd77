"""Session tokens: a browser's right to act for one linked account, for a while."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select, update

from everlink.contract import Environment, KeyScope
from store.api_keys import ApiKeys
from store.database import utc_now
from store.scope import Scope
from store.tables import LINKED_ACCOUNTS, SESSION_TOKENS
from tests.api.conftest import Everlink

TOKEN = "/api/v2/public/session-token"
REVOKE = "/api/v2/public/session-token/revoke"
ACCOUNT = "/api/v2/public/session/active-linked-account"
REFRESH = "/v1/session-tokens/refresh"


async def session(product: httpx.AsyncClient, account: str = "acme", **query: Any) -> dict[str, Any]:
    answer = await product.post(TOKEN, json={"linked_account_id": account}, params=query)
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    pair: dict[str, Any] = answer.json()
    return pair


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


async def alive(everlink: Everlink, token: str) -> bool:
    async with httpx.AsyncClient(base_url=everlink.url) as browser:
        answer = await browser.get(ACCOUNT, headers=bearer(token))
    assert answer.status_code in (200, 401)
    return answer.status_code == 200


async def refresh(everlink: Everlink, refresh_token: str) -> httpx.Response:
    async with httpx.AsyncClient(base_url=everlink.url, timeout=40) as browser:
        return await browser.post(REFRESH, json={"refresh_token": refresh_token})


async def test_token_stands_for_one_linked_account(everlink: Everlink, product: httpx.AsyncClient) -> None:
    pair = await session(product)
    assert set(pair) == {"token", "refresh_token", "expires_in", "refresh_expires_in"}
    assert pair["token"].startswith("st_") and pair["refresh_token"].startswith("sr_")
    assert (type(pair["expires_in"]), type(pair["refresh_expires_in"])) == (int, int)
    assert 3590 <= pair["expires_in"] <= 3600 and 86390 <= pair["refresh_expires_in"] <= 86400
    async with httpx.AsyncClient(base_url=everlink.url) as browser:
        account = (await browser.get(ACCOUNT, headers=bearer(pair["token"]))).json()
        basics = (await browser.get("/api/v3/org/basics", headers=bearer(pair["token"]))).json()
    assert (account["account_id"], account["environment"]) == ("acme", "test")
    assert basics["linked_account"] == account
    assert basics["organization"] == {"_id": account["associated_org"], "name": "Acme"}


async def test_living_token_is_given_again_unless_a_new_one_is_asked_for(
    everlink: Everlink, product: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await session(product)
    again = await session(product)
    assert (again["token"], again["refresh_token"]) == (first["token"], first["refresh_token"])
    forced = await session(product, force_refresh="true")
    assert forced["token"] != first["token"]
    assert await alive(everlink, first["token"]) and await alive(everlink, forced["token"])
    monkeypatch.setattr(everlink.made, "clock", lambda: utc_now() + timedelta(minutes=46))
    assert (await session(product))["token"] not in (first["token"], forced["token"])  # they have no useful rest


@pytest.mark.parametrize("account", ["nobody", "acme ", "ACME", "' OR 1=1 --"])
async def test_account_that_does_not_exist(product: httpx.AsyncClient, account: str) -> None:
    answer = await product.post(TOKEN, json={"linked_account_id": account})
    assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_LINKED_ACCOUNT_ID")


@pytest.mark.parametrize("body", [{}, {"linked_account_id": ""}, {"linked_account_id": False}, [], "acme"], ids=str)
async def test_body_that_names_no_account(product: httpx.AsyncClient, body: object) -> None:
    answer = await product.post(TOKEN, json=body)
    assert (answer.status_code, answer.json()["error_code"]) == (422, "invalid_request")


async def test_another_tenants_account_looks_like_any_other_that_is_not_there(
    everlink: Everlink, product: httpx.AsyncClient
) -> None:
    await product.post("/api/v2/public/linked-account", json={"account_id": "only-here"})
    stranger = await everlink.product("Other")
    hers = await stranger.post(TOKEN, json={"linked_account_id": "only-here"})
    none = await stranger.post(TOKEN, json={"linked_account_id": "nowhere"})
    assert hers.status_code == none.status_code == 400
    assert {**hers.json(), "request_id": ""} == {**none.json(), "request_id": ""}


async def test_token_of_one_environment_opens_nothing_of_the_other(
    everlink: Everlink, product: httpx.AsyncClient
) -> None:
    connection = await everlink.connect(product)
    assert connection
    key = await everlink.made.api_keys.authenticate(product.headers["x-api-key"], utc_now())
    assert key is not None
    production = await everlink.client(Scope(key.scope.org_id, Environment.PRODUCTION))
    token = (await session(production))["token"]
    async with httpx.AsyncClient(base_url=everlink.url) as browser:
        found = (await browser.get("/api/v2/f-sdk/application/sandbox", headers=bearer(token))).json()
        assert (found["connected"], found["connected_accounts"]) == (False, [])
        await browser.delete("/api/v1/linked-acc/integration/sandbox", headers=bearer(token))
    assert (await product.get(f"/v1/connections/{connection}")).json()["status"] == "active"


async def test_revoking_ends_every_session_of_the_account_and_of_no_other(
    everlink: Everlink, product: httpx.AsyncClient
) -> None:
    await product.post("/api/v2/public/linked-account", json={"account_id": "other"})
    stranger = await everlink.product("Other")
    mine = [await session(product), await session(product, force_refresh=True)]
    others = [await session(product, "other"), await session(stranger)]
    revoked = await product.post(REVOKE, headers=bearer(mine[0]["token"]))
    assert revoked.json() == {"success": True, "revoked_count": 2}
    for pair in mine:
        assert not await alive(everlink, pair["token"])
        assert (await refresh(everlink, pair["refresh_token"])).status_code == 401
    for pair in others:
        assert await alive(everlink, pair["token"])
    assert (await product.post(REVOKE, headers=bearer(mine[0]["token"]))).status_code == 401
    assert (await session(product))["token"] not in {pair["token"] for pair in mine}


async def test_refreshing_trades_the_pair_for_a_new_one(everlink: Everlink, product: httpx.AsyncClient) -> None:
    old = await session(product)
    answer = await refresh(everlink, old["refresh_token"])
    new = answer.json()
    assert answer.status_code == 200 and answer.headers["cache-control"] == "no-store"
    assert set(new) == set(old) and new["refresh_expires_in"] <= old["refresh_expires_in"]
    assert await alive(everlink, new["token"]) and not await alive(everlink, old["token"])
    assert (await session(product))["token"] == new["token"]


async def test_refresh_token_shown_twice_ends_all_that_came_of_it_and_nothing_else(
    everlink: Everlink, product: httpx.AsyncClient
) -> None:
    stolen, bystander = await session(product), await session(product, force_refresh=True)
    second = (await refresh(everlink, stolen["refresh_token"])).json()
    third = (await refresh(everlink, second["refresh_token"])).json()
    assert await alive(everlink, third["token"])
    again = await refresh(everlink, stolen["refresh_token"])
    assert (again.status_code, again.json()["error_code"]) == (401, "invalid_refresh_token")
    assert not await alive(everlink, third["token"])
    assert (await refresh(everlink, third["refresh_token"])).status_code == 401
    assert await alive(everlink, bystander["token"])


async def test_refresh_token_used_at_the_same_moment_gives_one_pair_at_most(
    everlink: Everlink, product: httpx.AsyncClient
) -> None:
    pair = await session(product)
    answers = await asyncio.gather(*(refresh(everlink, pair["refresh_token"]) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [200, 401, 401, 401, 401]
    [won] = [answer.json() for answer in answers if answer.status_code == 200]
    assert not await alive(everlink, won["token"])  # one of the five may be a thief: nobody keeps it


async def test_session_ends_a_day_after_the_product_made_it_however_often_it_is_renewed(
    everlink: Everlink, product: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = await session(product)
    monkeypatch.setattr(everlink.made, "clock", lambda: utc_now() + timedelta(minutes=61))
    assert not await alive(everlink, pair["token"])
    pair = (await refresh(everlink, pair["refresh_token"])).json()
    assert await alive(everlink, pair["token"])
    monkeypatch.setattr(everlink.made, "clock", lambda: utc_now() + timedelta(hours=23, minutes=30))
    pair = (await refresh(everlink, pair["refresh_token"])).json()
    assert pair["expires_in"] == pair["refresh_expires_in"] <= 1800
    monkeypatch.setattr(everlink.made, "clock", lambda: utc_now() + timedelta(hours=24))
    assert (await refresh(everlink, pair["refresh_token"])).status_code == 401


async def test_expired_sessions_are_deleted_when_one_is_made(
    everlink: Everlink, product: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = await session(product)
    now = utc_now()
    async with everlink.made.database.writing() as writing:
        await writing.execute(update(SESSION_TOKENS).values(refresh_expires_at=now, expires_at=now))
    await session(product)
    async with everlink.made.database.reading() as reading:
        assert (await reading.execute(select(func.count()).select_from(SESSION_TOKENS))).scalar_one() == 1
    assert not await alive(everlink, ended["token"])


@pytest.mark.parametrize(
    "change",
    [
        lambda token: token[:-1],
        lambda token: token + "x",
        str.upper,
        lambda token: f"é{token}",
        lambda token: token[:3],
    ],
    ids=["cut", "longer", "upper", "umlaut", "start"],
)
async def test_token_that_is_not_the_token(everlink: Everlink, product: httpx.AsyncClient, change: Any) -> None:
    pair = await session(product)
    async with httpx.AsyncClient(base_url=everlink.url) as browser:
        wrong = await browser.get(ACCOUNT, headers={"authorization": f"Bearer {change(pair['token'])}".encode()})
        assert (wrong.status_code, wrong.json()["error_code"]) == (401, "invalid_session_token")
        wrong = await browser.get(ACCOUNT, headers=bearer(pair["refresh_token"]))
        assert wrong.status_code == 401
        wrong = await browser.post(REFRESH, json={"refresh_token": change(pair["refresh_token"])})
        assert (wrong.status_code, wrong.json()["error_code"]) == (401, "invalid_refresh_token")
        wrong = await browser.post(REFRESH, json={"refresh_token": pair["token"]})
        assert wrong.status_code == 401
    assert await alive(everlink, pair["token"])


@pytest.mark.parametrize("body", [{}, {"refresh_token": None}, {"refresh_token": 1}, {"refresh_token": "planted" * 99}])
async def test_refresh_without_a_token_is_a_422_that_does_not_echo_it(everlink: Everlink, body: object) -> None:
    async with httpx.AsyncClient(base_url=everlink.url) as browser:
        answer = await browser.post(REFRESH, json=body)
    assert answer.status_code == 422 and "planted" not in answer.text


async def test_session_token_opens_no_route_of_the_products_server(
    everlink: Everlink, product: httpx.AsyncClient
) -> None:
    token = (await session(product))["token"]
    async with httpx.AsyncClient(base_url=everlink.url, headers=bearer(token)) as browser:
        for method, path in (
            ("GET", "/v1/connections"),
            ("PUT", "/v1/applications/sandbox"),
            ("POST", TOKEN),
            ("GET", "/v1/settings"),
            ("PUT", "/v1/settings"),
            ("GET", "/v1/webhook-endpoints"),
        ):
            answer = await browser.request(method, path, json=None if method == "GET" else {})
            assert (answer.status_code, answer.json()["error_code"]) == (401, "invalid_api_key"), path


async def test_key_without_the_scope_makes_no_token(everlink: Everlink, product: httpx.AsyncClient) -> None:
    live = await everlink.made.api_keys.authenticate(product.headers["x-api-key"], utc_now())
    assert live is not None
    reader = await everlink.made.api_keys.add(live.scope, "reader", utc_now(), scopes=[KeyScope.READ, KeyScope.TOKENS])
    answer = await product.post(TOKEN, json={"linked_account_id": "acme"}, headers={"x-api-key": reader})
    assert (answer.status_code, answer.json()["error_code"]) == (403, "insufficient_scope")


async def test_account_that_is_being_removed_has_no_sessions(everlink: Everlink, product: httpx.AsyncClient) -> None:
    pair = await session(product)
    live = await ApiKeys(everlink.made.database).authenticate(product.headers["x-api-key"], utc_now())
    assert live is not None
    async with everlink.made.database.writing() as writing:
        await writing.execute(
            update(LINKED_ACCOUNTS).where(live.scope.owns(LINKED_ACCOUNTS)).values(removed_at=utc_now())
        )
    assert not await alive(everlink, pair["token"])
    assert (await refresh(everlink, pair["refresh_token"])).status_code == 401


async def test_tokens_lie_in_the_store_as_hashes_and_sealed(everlink: Everlink, product: httpx.AsyncClient) -> None:
    pair = await session(product)
    async with everlink.made.database.reading() as reading:
        rows = (await reading.execute(select(SESSION_TOKENS))).all()
    kept = repr([tuple(row) for row in rows])
    assert rows and pair["token"] not in kept and pair["refresh_token"] not in kept
