"""What a provider sends reaches the flag: proven, kept, told to those whom it is about, once."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
from joserfc.jwk import KeySet
from sqlalchemy import insert, select

from api import hooks
from api.services import Services
from everlink.contract import Environment, InboxTask, Workflow, inbox_workflow_id
from providers.inbound.keysets import KeysUnavailable
from store.database import utc_now
from store.scope import Scope
from store.tables import CONNECTION_KEYS, PROVIDER_EVENTS
from tests.api.conftest import Everlink, until_status
from tests.api.removing import add_connections, scope_of
from tests.providers.signing import OTHER_RSA, basic, jwks, rs256

SECRET = "signing-secret-of-the-sandbox"


def signed(body: bytes, secret: str = SECRET, at: datetime | None = None) -> dict[str, str]:
    """As the sandbox's entry says that it signs; made without anything of ours."""
    stamp = int((at or utc_now()).timestamp())
    made = hmac.new(secret.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
    return {"x-sandbox-signature": f"t={stamp},v1={made}", "content-type": "application/json"}


def event(kind: str, account: str = "ada@example.com", at: datetime | None = None, id: str | None = None) -> bytes:
    when = (at or utc_now()).isoformat()
    return json.dumps({"event": kind, "account": account, "id": id or uuid4().hex, "at": when}).encode()


async def hook(product: httpx.AsyncClient) -> str:
    """The address, with the secret given."""
    answer = await product.put("/v1/applications/sandbox", json={"signing_secret": SECRET})
    assert answer.json()["has_signing_secret"] is True
    assert SECRET not in answer.text
    return str(answer.json()["events_url"])


async def kept(everlink: Everlink, scope: Scope) -> list[Any]:
    async with everlink.made.database.reading() as reading:
        query = select(PROVIDER_EVENTS).where(scope.owns(PROVIDER_EVENTS)).order_by(PROVIDER_EVENTS.c.id)
        return list((await reading.execute(query)).all())


async def connected(everlink: Everlink, product: httpx.AsyncClient, name: str = "ada") -> tuple[str, str]:
    """A connection, and the account that events name it by."""
    connection = await everlink.connect(product, name)
    return connection, (await product.get(f"/v1/connections/{connection}")).json()["identifier"]


async def send(url: str, body: bytes, headers: Any = None, method: str = "POST") -> httpx.Response:
    async with httpx.AsyncClient(timeout=40) as provider:
        return await provider.request(method, url, content=body, headers=headers)


@pytest.mark.parametrize(("kind", "reason"), [("uninstalled", "app_uninstalled"), ("revoked", "access_revoked")])
async def test_what_the_provider_tells_reaches_the_flag(
    everlink: Everlink, product: httpx.AsyncClient, kind: str, reason: str
) -> None:
    connection, account = await connected(everlink, product)
    other, _ = await connected(everlink, product, "grace")
    url, body = await hook(product), event(kind, account)
    answer = await send(url, body, signed(body))
    assert (answer.status_code, answer.content) == (200, b"")
    flagged = await until_status(product, connection, "reauth_required")
    assert flagged["reason"] == reason
    assert (await product.get(f"/v1/connections/{other}")).json()["status"] == "active"
    [row] = await until_dispatched(everlink, await scope_of(everlink.made, product))
    assert (row.told, row.ended) == (1, [])


async def until_dispatched(everlink: Everlink, scope: Scope) -> list[Any]:
    async with asyncio.timeout(20):
        while True:
            rows = await kept(everlink, scope)
            if all(row.dispatched_at is not None for row in rows):
                return rows
            await asyncio.sleep(0.05)


async def refreshed(product: httpx.AsyncClient, connection: str) -> str:
    """How the connection stands after whatever was signalled before: an update comes behind it."""
    return str((await product.post(f"/v1/connections/{connection}/refresh")).json()["status"])


async def happened(product: httpx.AsyncClient, connection: str) -> list[str]:
    timeline = (await product.get(f"/v1/connections/{connection}/events")).json()["transitions"]
    return [row["event"] for row in timeline]


async def test_what_is_not_signed_by_the_provider_does_nothing(everlink: Everlink, product: httpx.AsyncClient) -> None:
    connection, account = await connected(everlink, product)
    other = await everlink.product("Other")
    url, elsewhere = await hook(product), await hook(other)
    await other.put("/v1/applications/sandbox", json={"signing_secret": "another", "previous_secret_seconds": 0})
    body = event("revoked", account)
    good, old = signed(body), signed(body, at=utc_now() - timedelta(minutes=6))
    twice = [*good.items(), ("x-sandbox-signature", good["x-sandbox-signature"])]
    attempts: list[tuple[str, bytes, Any]] = [
        (url, body, {}),
        (url, body, signed(body, "another")),
        (url, body + b" ", good),
        (url, b"", good),
        (url, body, old),
        (url, body, twice),
        (url, body, {"x-sandbox-signature": good["x-sandbox-signature"].replace("v1", "v0")}),
        (elsewhere, body, good),
    ]
    for address, content, headers in attempts:
        answer = await send(address, content, headers)
        assert (answer.status_code, answer.json()["error_code"]) == (401, "invalid_signature")
    for one in (product, other):
        assert await kept(everlink, await scope_of(everlink.made, one)) == []
    assert await refreshed(product, connection) == "active"


async def test_whatever_is_not_there_looks_the_same(everlink: Everlink, product: httpx.AsyncClient) -> None:
    url = await hook(product)
    scope = await scope_of(everlink.made, product)
    body = event("revoked")
    strangers = [
        url.replace(scope.org_id, "0" * 24),
        url.replace(scope.org_id, "%27"),
        url.replace("/test/", "/production/"),
        url.replace("/test/", "/nowhere/"),
        url.replace("sandbox", "slack"),  # not enabled here
        url.replace("sandbox", "sandbox-key"),  # which tells nothing
        url.replace("sandbox", "own-nothing"),
        url.replace("sandbox", "nothing"),
    ]
    heard = []
    for address in strangers:
        for method in ("POST", "DELETE"):
            answer = await send(address, body, signed(body), method)
            heard.append({name: value for name, value in answer.json().items() if name != "request_id"})
    heard += [(await send(url, body, signed(body), method)).json() | {"request_id": ""} for method in ("GET", "DELETE")]
    heard[-2].pop("request_id"), heard[-1].pop("request_id")
    assert heard[0]["error_code"] == "hook_not_found" and heard[0]["status_code"] == 404
    assert all(one == heard[0] for one in heard)
    assert (await send(url, body, signed(body), "PUT")).status_code == 405


async def test_event_that_comes_again_is_answered_and_does_nothing(
    everlink: Everlink, product: httpx.AsyncClient
) -> None:
    connection, account = await connected(everlink, product)
    url, body = await hook(product), event("revoked", account)
    assert (await send(url, body, signed(body))).status_code == 200
    await until_status(product, connection, "reauth_required")
    assert await everlink.connect(product) == connection
    for _ in range(2):
        assert (await send(url, body, signed(body))).status_code == 200
    scope = await scope_of(everlink.made, product)
    [row] = await until_dispatched(everlink, scope)
    assert row.told == 1
    assert await refreshed(product, connection) == "active"
    assert await happened(product, connection) == [
        "Connection Created",
        "Connection Expired",
        "Connection Reauthenticated",
    ]


async def test_event_of_an_earlier_grant_flags_nobody(everlink: Everlink, product: httpx.AsyncClient) -> None:
    before = utc_now() - timedelta(hours=1)
    connection, account = await connected(everlink, product)
    url, body = await hook(product), event("uninstalled", account, before)
    assert (await send(url, body, signed(body))).status_code == 200
    [row] = await until_dispatched(everlink, await scope_of(everlink.made, product))
    assert (row.told, row.occurred_at) == (1, before)
    assert await refreshed(product, connection) == "active"


async def test_time_that_is_ahead_ends_no_later_grant(everlink: Everlink, product: httpx.AsyncClient) -> None:
    url, body = await hook(product), event("uninstalled", at=utc_now() + timedelta(days=1))
    assert (await send(url, body, signed(body))).status_code == 200
    [row] = await kept(everlink, await scope_of(everlink.made, product))
    assert row.occurred_at == row.received_at


async def test_suspicion_is_verified_before_it_is_believed(everlink: Everlink, product: httpx.AsyncClient) -> None:
    connection, account = await connected(everlink, product)
    url, body = await hook(product), event("suspect", account)
    assert (await send(url, body, signed(body))).status_code == 200
    await until_dispatched(everlink, await scope_of(everlink.made, product))
    assert await refreshed(product, connection) == "active"
    assert await happened(product, connection) == ["Connection Created"]


async def test_challenge_is_answered_to_whom_knows_the_secret(everlink: Everlink, product: httpx.AsyncClient) -> None:
    url, body = await hook(product), json.dumps({"event": "challenge", "challenge": "say it <back>"}).encode()
    answer = await send(url, body, signed(body))
    assert (answer.status_code, answer.json()) == (200, {"challenge": "say it <back>"})
    assert (await send(url, body, signed(body, "guessed"))).status_code == 401
    assert await kept(everlink, await scope_of(everlink.made, product)) == []


async def test_body_without_end_is_refused_before_it_is_read(everlink: Everlink, product: httpx.AsyncClient) -> None:
    url = await hook(product)
    huge = b" " * 2_000_000
    assert (await send(url, huge, signed(huge))).status_code == 413

    async def trickle() -> Any:
        for _ in range(40):
            yield b" " * 50_000

    async with httpx.AsyncClient(timeout=40) as provider:
        assert (await provider.post(url, content=trickle(), headers=signed(huge))).status_code == 413


async def test_secret_that_was_replaced_still_proves_for_a_day(everlink: Everlink, product: httpx.AsyncClient) -> None:
    url, body = await hook(product), event("revoked")
    for given, expected in (
        ({"signing_secret": "the next one"}, 200),
        ({"signing_secret": "the next one", "previous_secret_seconds": 0}, 401),
        ({"signing_secret": None}, 401),
    ):
        answer = (await product.put("/v1/applications/sandbox", json=given)).json()
        assert answer["has_signing_secret"] is (given["signing_secret"] is not None)
        assert (await send(url, body, signed(body))).status_code == expected, given


async def test_one_event_ends_many_connections(everlink: Everlink, product: httpx.AsyncClient) -> None:
    url, scope = await hook(product), await scope_of(everlink.made, product)
    ids = await add_connections(everlink.made, scope, 230)  # without workflows: each is started from the store
    await name_all(everlink, scope, ids, "all-of-them")
    body = event("uninstalled", "all-of-them")
    assert (await send(url, body, signed(body))).status_code == 200
    async with asyncio.timeout(60):
        while (await product.get("/v1/connections/counts")).json()["reauth_required"] < len(ids):
            await asyncio.sleep(0.2)
    [row] = await until_dispatched(everlink, scope)
    assert (row.told, row.ended) == (len(ids), [])


async def name_all(everlink: Everlink, scope: Scope, ids: list[str], account: str, slug: str = "sandbox") -> None:
    """All of these connections are of one account."""
    key = {**scope.columns, "slug": slug, "name": "account", "value": account}
    async with everlink.made.database.writing() as writing:
        await writing.execute(insert(CONNECTION_KEYS), [{**key, "connection_id": one} for one in ids])


async def test_visit_that_nobody_signed_asks_for_one_look_a_minute(
    everlink: Everlink, product: httpx.AsyncClient
) -> None:
    client = {"client_id": "quickbooks-client", "client_secret": "quickbooks-secret"}
    url = (await product.put("/v1/applications/quickbooks", json=client)).json()["events_url"]
    scope = await scope_of(everlink.made, product)
    [one] = await add_connections(everlink.made, scope, 1, "quickbooks")
    await name_all(everlink, scope, [one], "realm-1", "quickbooks")
    for realm in ("realm-1", "realm-1", "realm-2", "", "realm-1&of=1", "realm-1&realmId=realm-3"):
        page = await send(f"{url}?realmId={realm}", b"", method="GET")
        assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert (await send(f"{url}?realmId=realm-1", b"varied", method="GET")).status_code == 200
    rows = await kept(everlink, scope)
    assert 1 <= len(rows) <= 2  # the minute may have ended in between
    assert (await send(url, b"realmId=realm-1", method="POST")).status_code == 404


async def test_deletion_at_the_callback_is_told_to_all_who_have_that_client(everlink: Everlink) -> None:
    client = {"client_id": f"pipedrive-{uuid4().hex}", "client_secret": "pipedrive-secret-1"}
    products = [await everlink.product(), await everlink.product("Other")]
    for product, secret in zip(products, ("pipedrive-secret-1", "pipedrive-secret-1"), strict=True):
        await product.put("/v1/applications/pipedrive", json={**client, "client_secret": secret})
    stranger = await everlink.product("Third")
    await stranger.put("/v1/applications/pipedrive", json={**client, "client_secret": "guessed"})
    url = f"{everlink.url}/api/v1/pipedrive/callback"
    body = json.dumps({"client_id": client["client_id"], "company_id": 7, "user_id": 8, "timestamp": "x"}).encode()
    shown = basic(client["client_id"], "pipedrive-secret-1")
    for headers, expected in (
        ({"authorization": shown}, 200),
        ({"authorization": basic("nobody", "x")}, 401),
        ({"authorization": basic("\0", "x")}, 401),
        ({"authorization": shown.replace("Basic", "Bearer")}, 401),
        ({}, 401),
    ):
        assert (await send(url, body, headers, "DELETE")).status_code == expected
    counted = [len(await kept(everlink, await scope_of(everlink.made, one))) for one in (*products, stranger)]
    assert counted == [1, 1, 0]
    for slug in ("slack", "nothing"):
        at_others = url.replace("pipedrive", slug)
        assert (await send(at_others, body, {"authorization": shown}, "DELETE")).status_code == 404


async def test_security_events_are_answered_as_their_standard_says(
    everlink: Everlink, product: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = (await product.put("/v1/applications/google", json={"client_id": "google-client"})).json()["events_url"]
    claims = {
        "iss": "https://accounts.google.com/",
        "aud": "google-client",
        "iat": int(utc_now().timestamp()),
        "jti": "one",
        "events": {"https://schemas.openid.net/secevent/oauth/event-type/tokens-revoked": {"subject": {"sub": "1"}}},
    }

    async def away(url: str, *, newer: bool = False) -> KeySet:
        raise KeysUnavailable("away")

    monkeypatch.setattr(everlink.made.key_sets, "get", away)
    late = await send(url, rs256(claims))
    assert (late.status_code, late.json()["error_code"]) == (503, "keys_unavailable")  # Google sends it again

    async def known(url: str, *, newer: bool = False) -> KeySet:
        return KeySet.import_key_set(jwks())  # type: ignore[arg-type]

    monkeypatch.setattr(everlink.made.key_sets, "get", known)
    for body, status, err in (
        (rs256(claims), 202, None),
        (rs256(claims), 202, None),
        (rs256({**claims, "jti": "two", "events": {"verification": {"state": "x"}}}), 202, None),
        (rs256(claims, OTHER_RSA), 401, "authentication_failed"),
        (rs256(claims, kid="made-up"), 401, "invalid_key"),
        (rs256({**claims, "aud": "other"}), 400, "invalid_audience"),
        (rs256({**claims, "iss": "other"}), 400, "invalid_issuer"),
        (b"{}", 400, "invalid_request"),
    ):
        answer = await send(url, body, {"content-type": "application/secevent+jwt"})
        assert answer.status_code == status, answer.text
        if err is None:
            assert answer.content == b""
        else:
            assert answer.headers["content-type"] == "application/json"
            assert (answer.json()["err"], set(answer.json())) == (err, {"err", "description"})
    assert len(await kept(everlink, await scope_of(everlink.made, product))) == 1


async def test_those_that_come_while_a_signal_is_on_its_way_share_the_next(
    everlink: Everlink, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent, arrives = [], asyncio.Event()

    async def start(made: Services, workflow: Workflow, options: dict[str, Any]) -> None:
        sent.append(options["id"])
        await arrives.wait()

    monkeypatch.setattr(hooks, "start_or_leave", start)
    one, other = (InboxTask(org_id=org, environment=Environment.TEST, slug="slack") for org in ("one", "other"))
    for task in (one, other):
        for _ in range(50):
            await hooks.wake(everlink.made, task)
            await asyncio.sleep(0)
    assert sent == ["inbox/one/test/slack", "inbox/other/test/slack"]
    arrives.set()
    while everlink.made.waking:
        await asyncio.sleep(0)
    assert sorted(sent) == ["inbox/one/test/slack"] * 2 + ["inbox/other/test/slack"] * 2


async def test_inbox_says_in_words_what_it_did(everlink: Everlink, product: httpx.AsyncClient) -> None:
    url, body = await hook(product), event("revoked", "nobody")
    scope = await scope_of(everlink.made, product)
    assert (await send(url, body, signed(body))).status_code == 200
    await until_dispatched(everlink, scope)
    handle = everlink.made.temporal.get_workflow_handle(inbox_workflow_id(*scope, "sandbox"))
    assert "events told to" in await handle.result()
