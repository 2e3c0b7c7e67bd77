"""Idempotency keys: a POST that is sent again is answered again, and acts once."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from unittest.mock import AsyncMock
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import func, select

from everlink.contract import Environment
from store.answers import KEPT_FOR, LEASE, Answers, Claim, KeptAnswer, Place, Refused
from store.database import Database, StoreUnavailable, utc_now
from store.scope import Scope
from store.tables import IDEMPOTENT_ANSWERS
from store.tenants import Tenants
from tests.api.conftest import Everlink, running, settings_for
from tests.store.processes import run_together

KEYS = "/v1/api-keys"
SESSION = "/api/v2/public/session-token"
BODY = {"name": "once", "scopes": ["read"]}


def under(key: str) -> dict[str, str]:
    return {"idempotency-key": key}


async def test_same_request_is_answered_again_and_acts_once(product: httpx.AsyncClient) -> None:
    first = await product.post(KEYS, json=BODY, headers=under("a"))
    again = await product.post(KEYS, json=BODY, headers=under("a"))
    assert first.status_code == again.status_code == 201 and first.content == again.content
    assert "idempotent-replayed" not in first.headers and again.headers["idempotent-replayed"] == "true"
    for name in ("content-type", "cache-control"):
        assert first.headers[name] == again.headers[name]
    assert first.headers["x-request-id"] != again.headers["x-request-id"]
    assert len((await product.get(KEYS)).json()) == 2
    assert (await product.post(KEYS, json=BODY, headers=under("b"))).json() != first.json()


async def test_seeds_posts_have_it_too(product: httpx.AsyncClient) -> None:
    path, body = "/api/v2/public/linked-account", {"account_id": "acme", "name": "First"}
    await product.post(path, json=body, headers=under("seed"))
    await product.post(path, json={**body, "name": "Second"})
    again = await product.post(path, json=body, headers=under("seed"))
    assert again.headers["idempotent-replayed"] == "true" and again.json()["name"] == "First"
    assert (await product.post(path, json={"account_id": "acme"})).json()["name"] == "Second"


async def test_another_request_under_the_key_is_refused(product: httpx.AsyncClient) -> None:
    await product.post(KEYS, json=BODY, headers=under("k"))
    mine = (await product.get(KEYS)).json()[0]["id"]
    for answer in (
        await product.post(KEYS, json={**BODY, "name": "other"}, headers=under("k")),
        await product.post(f"{KEYS}?a=b", json=BODY, headers=under("k")),
        await product.post(f"{KEYS}/{mine}/rotate", json=BODY, headers=under("k")),
        await product.post(KEYS, json=BODY, headers={**under("k"), "linked_account_id": "another"}),
    ):
        assert (answer.status_code, answer.json()["error_code"]) == (422, "idempotency_key_reused")
    assert len((await product.get(KEYS)).json()) == 2


async def test_refusals_are_kept_but_not_those_of_the_caller(product: httpx.AsyncClient) -> None:
    missing = f"{KEYS}/000000000000/rotate"
    first = await product.post(missing, json={}, headers=under("404"))
    again = await product.post(missing, json={}, headers=under("404"))
    assert first.status_code == 404 and again.content == first.content
    weak = (await product.post(KEYS, json={"name": "weak", "scopes": ["read"]})).json()["key"]
    for wrong, status in (("tk_0_0", 401), (weak, 403)):
        refused = await product.post(KEYS, json=BODY, headers={**under(f"of-{status}"), "x-api-key": wrong})
        assert refused.status_code == status
        assert (await product.post(KEYS, json=BODY, headers=under(f"of-{status}"))).status_code == 201


async def test_weaker_key_hears_no_answer_of_a_stronger_one(product: httpx.AsyncClient) -> None:
    """An admin who may not read tokens would otherwise be given a key that may."""
    body = {"name": "strong", "scopes": ["read", "tokens"]}
    strong = (await product.post(KEYS, json=body, headers=under("s"))).json()["key"]
    weak = (await product.post(KEYS, json={"name": "w", "scopes": ["admin"]})).json()["key"]
    heard = await product.post(KEYS, json=body, headers={**under("s"), "x-api-key": weak})
    assert heard.status_code == 422 and strong not in heard.text


async def test_answers_stay_with_their_tenant(everlink: Everlink, product: httpx.AsyncClient) -> None:
    stranger = await everlink.product("Other")
    first = await product.post(KEYS, json=BODY, headers=under("same"))
    other = await stranger.post(KEYS, json=BODY, headers=under("same"))
    assert other.status_code == 201 and "idempotent-replayed" not in other.headers
    assert other.json()["key"] != first.json()["key"]


async def test_answers_stay_with_their_linked_account(everlink: Everlink, product: httpx.AsyncClient) -> None:
    path, body = "/api/v2/app/sandbox-key/save", {"api_key": "wrong"}
    browsers = []
    for account in ("acme", "globex"):
        await product.post("/api/v2/public/linked-account", json={"account_id": account})
        token = (await product.post(SESSION, json={"linked_account_id": account})).json()["token"]
        browsers.append({**under("same"), "authorization": f"Bearer {token}"})
    async with httpx.AsyncClient(base_url=everlink.url, timeout=40) as client:
        first, other, again = [await client.post(path, json=body, headers=browsers[number]) for number in (0, 1, 0)]
    assert first.status_code == other.status_code == 422
    assert again.content == first.content and again.headers["idempotent-replayed"] == "true"
    assert "idempotent-replayed" not in other.headers and other.content != first.content


async def test_refresh_token_that_is_sent_again_is_no_theft(everlink: Everlink, product: httpx.AsyncClient) -> None:
    """Where the answer was lost on its way, the browser asks again."""
    old = (await product.post(SESSION, json={"linked_account_id": "acme"})).json()["refresh_token"]
    async with httpx.AsyncClient(base_url=everlink.url) as browser:
        path, body = "/v1/session-tokens/refresh", {"refresh_token": old}
        first = await browser.post(path, json=body, headers=under("lost"))
        again = await browser.post(path, json=body, headers=under("lost"))
        assert first.status_code == 200 and again.content == first.content
        token = {"authorization": f"Bearer {first.json()['token']}"}
        assert (await browser.get("/api/v3/org/basics", headers=token)).status_code == 200
        assert (await browser.post(path, json=body, headers=under("stolen"))).status_code == 401


@pytest.mark.parametrize("key", ["", "x" * 256, "with space", "caf\xe9"])
async def test_key_that_is_none_is_refused(product: httpx.AsyncClient, key: str) -> None:
    answer = await product.post(KEYS, json=BODY, headers=[(b"idempotency-key", key.encode("latin-1"))])
    assert (answer.status_code, answer.json()["error_code"]) == (422, "invalid_idempotency_key")
    assert len((await product.get(KEYS)).json()) == 1


async def test_key_is_free_again_where_the_service_failed(
    everlink: Everlink, product: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    for failure, status in ((StoreUnavailable("away"), 503), (RuntimeError("defect"), 500)):
        with monkeypatch.context() as broken:
            broken.setattr(everlink.made.api_keys, "add", AsyncMock(side_effect=failure))
            assert (await product.post(KEYS, json=BODY, headers=under(f"f{status}"))).status_code == status
        assert (await product.post(KEYS, json=BODY, headers=under(f"f{status}"))).status_code == 201


async def test_database_holds_no_answer_in_the_clear(everlink: Everlink, product: httpx.AsyncClient) -> None:
    secret = (await product.post(KEYS, json=BODY, headers=under("sealed"))).json()["key"].split("_", 2)[2]
    async with everlink.made.database.reading() as read:
        rows = (await read.execute(select(IDEMPOTENT_ANSWERS))).all()
    assert rows and secret not in repr(rows)


@pytest.fixture
async def two(database_url: str, tmp_path: Path) -> AsyncIterator[list[Everlink]]:
    """Two APIs on one database."""
    nowhere = "127.0.0.1:9"
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(
                running(settings_for(database_url, tmp_path, f"http://{nowhere}", nowhere), "", worker=False)
            )
            for _ in range(2)
        ]


async def test_of_simultaneous_requests_exactly_one_acts(two: list[Everlink]) -> None:
    product = await two[0].product()

    async def send(everlink: Everlink, key: str) -> httpx.Response:
        async with httpx.AsyncClient(base_url=everlink.url, headers=product.headers, timeout=40) as client:
            return await client.post(KEYS, json=BODY, headers=under(key))

    for turn in range(5):
        answers = await asyncio.gather(*(send(everlink, str(turn)) for everlink in two * 6))
        made = {answer.content for answer in answers if answer.status_code == 201}
        statuses = Counter(answer.status_code for answer in answers)
        assert len(made) == 1 and set(statuses) <= {201, 409}
        for refused in (answer for answer in answers if answer.status_code == 409):
            assert refused.json()["error_code"] == "idempotency_key_in_use" and refused.headers["retry-after"] == "1"
        later = await send(two[turn % 2], str(turn))
        assert {later.content} == made and later.headers["idempotent-replayed"] == "true"
        assert len((await product.get(KEYS)).json()) == 2 + turn


CLAIM = """
from everlink.contract import Environment
from store.answers import Answers, Place
from store.database import Database, utc_now
from store.scope import Scope

async def main(url, org, key):
    database = Database(url)
    found = await Answers(database).claim(Place(Scope(org, Environment.TEST), "tenant", key), "hash", utc_now())
    print(type(found).__name__)
    await database.close()
"""


async def test_of_simultaneous_processes_exactly_one_gets_the_claim(database_url: str, database: Database) -> None:
    org = await Tenants(database).add_organization("Acme", utc_now())
    for _ in range(2):
        answers = await run_together(CLAIM, database_url, org, uuid4().hex, count=4)
        assert sorted(answers) == ["Claim", "Refused", "Refused", "Refused"]


@pytest.fixture
async def place(database: Database) -> Place:
    org = await Tenants(database).add_organization("Acme", utc_now())
    return Place(Scope(org, Environment.TEST), "tenant", "key")


async def test_claim_of_a_crashed_request_passes_on_after_its_lease(database: Database, place: Place) -> None:
    answers, now = Answers(database), utc_now()
    crashed = await answers.claim(place, "hash", now)
    assert isinstance(crashed, Claim)
    assert await answers.claim(place, "hash", now + LEASE - timedelta(seconds=1)) is Refused.IN_USE
    after = [await answers.claim(place, "hash", now + LEASE) for _ in range(2)]
    assert isinstance(after[0], Claim) and after[1] is Refused.IN_USE
    await answers.keep(crashed, 201, b"late")  # it was only slow: its answer must not replace the other's
    await answers.give_up(crashed)
    await answers.keep(after[0], 200, b"sealed")
    assert await answers.claim(place, "hash", now + LEASE) == KeptAnswer(200, b"sealed")


async def test_answers_live_for_a_day_and_are_removed_then(database: Database, place: Place) -> None:
    answers, now = Answers(database), utc_now()
    for key in "abc":
        claim = await answers.claim(Place(place.scope, place.owner, key), "hash", now)
        assert isinstance(claim, Claim)
        await answers.keep(claim, 200, b"sealed")
    a = Place(place.scope, place.owner, "a")
    assert isinstance(await answers.claim(a, "hash", now + KEPT_FOR - timedelta(seconds=1)), KeptAnswer)
    assert isinstance(await answers.claim(a, "another", now + KEPT_FOR), Claim)
    async with database.reading() as read:
        assert (await read.execute(select(func.count()).select_from(IDEMPOTENT_ANSWERS))).scalar_one() == 1
