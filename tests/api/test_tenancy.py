"""Every route, times everybody who must not pass: generated from the application, so that no route escapes.

A new path parameter has to be named in `NAMES`, a new route without authentication in `OPEN`, or a test fails.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest

from everlink.contract import AuthType, Environment, EventType, KeyScope, RemovalKind
from store.database import utc_now
from store.outbox import NewEvent, announce, event_head
from store.replays import replay_task
from store.scope import Scope
from store.tables import REMOVALS
from store.tickets import Ticket, new_ticket_id
from tests.api.conftest import Everlink
from tests.api.every_route import EITHER, KEY, SESSION, Route, every_route

OPEN = {
    "GET /healthz": "says nothing of anybody",
    "GET /readyz": "says nothing of anybody",
    "GET /connect/style.css": "a file",
    "GET /connect/page.js": "a file",
    "GET /connect/frame.js": "a file",
    "GET /connect/close.js": "a file",
    "GET /connect/start/{secret}": "the secret in the link is the right to it",
    "GET /connect/{secret}": "the secret in the link is the right to it",
    "GET /connect/session": "the browser's cookie is the right to it",
    "POST /connect/session/{slug}": "the browser's cookie is the right to it",
    **{
        route: "the cookie of the frame is the right to it: test_embedding.py"
        for route in (
            "GET /connect/frame/{session_id}",
            "POST /connect/frame/{session_id}/{slug}",
            "GET /connect/frame/{session_id}/attempts/{attempt_id}",
        )
    },
    "GET /api/v1/{slug}/callback": "the state and the browser's cookie are the right to it",
    "GET /api/v2/public/auth-structure/{slug}": "says what the built-in catalog says",
    "POST /hooks/{slug}/{environment}/{org_id}": "the provider's signature is the right to it",
    "GET /hooks/{slug}/{environment}/{org_id}": "only asks for a look, once a minute",
    "DELETE /hooks/{slug}/{environment}/{org_id}": "our client's credentials are the right to it",
    "DELETE /api/v1/{slug}/callback": "our client's credentials are the right to it",
    "GET /sdk/everlink.js": "a file",
    "GET /sdk/everlink.{version}.js": "a file",
    "GET /sdk/everlink.d.ts": "a file",
    "GET /sdk/everlink.json": "says what the files are",
    "GET /console/style.css": "a file",
    "POST /console": "the API key in the form is the right to it: test_console_sign_in.py",
    **{
        f"{method} /console{path}": "the operator's cookie is the right to it: test_console.py"
        for method, path in (
            ("GET", ""),
            ("GET", "/connections/{connection_id}"),
            ("GET", "/applications"),
            ("GET", "/endpoints"),
            ("GET", "/endpoints/{endpoint_id}"),
            ("POST", "/sign-out"),
            ("POST", "/endpoints/{endpoint_id}/replay"),
            ("POST", "/events/{event_id}/deliveries/{endpoint_id}/replay"),
        )
    },
    **{
        f"{method} /codec{path}": "the operators' token is the right to it: test_codec_server.py"
        for method, path in (
            ("GET", ""),
            ("POST", ""),
            ("POST", "/sign-out"),
            ("OPTIONS", "/decode"),
            ("OPTIONS", "/encode"),
            ("POST", "/decode"),
            ("POST", "/encode"),
        )
    },
    "POST /v1/session-tokens/refresh": "the refresh token in the body is the right to it",
}
NO_ID = {  # path parameters that are no tenant's: a word of the catalog
    "PUT /v1/applications/{slug}": "enables an entry of the catalog, which all share",
    "GET /v1/catalog/{slug}": "an entry of the catalog; one of a tenant's own: test_own_applications.py",
    "PUT /v1/catalog/{slug}": "makes one of the tenant's own: test_own_applications.py",
    "DELETE /v1/catalog/{slug}": "refused for what is nobody's own; one of a tenant's: test_own_applications.py",
}
SAYS_NOTHING = {  # 2xx for an id that nobody here has, by the seed's interface
    "DELETE /api/v2/public/linked-account/integration/{slug}": "200 even where nothing was connected",
    "DELETE /api/v1/linked-acc/integration/{slug}": "200 even where nothing was connected",
}


@dataclass
class World:
    """A tenant with one of everything."""

    scope: Scope
    key: str
    token: str
    ids: dict[str, str]


NEVER = {
    "connection_id": f"con_{uuid4().hex}",
    "slug": "never-was",
    "endpoint_id": f"we_{uuid4().hex}",
    "event_id": str(uuid4()),
    "webhook_id": f"we_{uuid4().hex}",
    "key_id": "000000000000",
    "account_id": "never-was",
    "linked_account_id": "never-was",
    "removal_id": f"rem_{uuid4().hex}",
    "replay_id": f"rep_{uuid4().hex}",
    "attempt_id": uuid4().hex,
    "org_id": "0" * 24,
}
NAMES = set(NEVER)
STRANGERS = ("another organization", "the other environment")


async def settle(everlink: Everlink, scope: Scope, slug: str) -> World:
    made, now = everlink.made, utc_now()
    key = await made.api_keys.add(scope, "all", now)
    await made.api_keys.add(scope, "so that the other is not the last", now)
    await made.tenants.enable_application(scope, slug, {"client_id": "everlink-sandbox"}, now)
    account = f"account-{uuid4().hex}"
    await made.tenants.save_linked_account(scope, account, {}, now)
    connection = await made.connections.find_or_create(
        scope,
        linked_account_id=account,
        slug=slug,
        identifier="ada",
        display_name=None,
        auth_type=AuthType.OAUTH2,
        now=now,
    )
    async with httpx.AsyncClient(base_url=everlink.url, headers={"x-api-key": key}) as client:
        hook = {"url": "http://127.0.0.1:9/", "events": ["Connection Expired", "Application Refused"]}
        endpoint = (await client.post("/v1/webhook-endpoints", json=hook)).json()["id"]
    removal = f"rem_{uuid4().hex}"
    async with made.database.writing() as writing:
        row = {"id": removal, **scope.columns, "kind": RemovalKind.APPLICATION, "subject": "x", "started_at": now}
        await writing.execute(REMOVALS.insert().values(**row, total=0, done=0, finished_at=now))
    event_id, kind = str(uuid4()), EventType.APPLICATION_REFUSED
    event = NewEvent(event_id, kind, slug, event_head(scope, kind, slug, event_id, now))
    async with made.database.writing() as writing:
        await announce(made.database, writing, scope, event, now)
    begun = await made.replays.begin(scope, endpoint, now)
    assert begun is not None
    await made.replays.finish(replay_task(begun), "", now)
    token = (await made.sessions.issue(scope, account, now, anew=True)).token
    attempt = Ticket(new_ticket_id(), scope, account, slug, connection.id)
    await made.tickets.issue(attempt, now)
    ids = {
        "connection_id": connection.id,
        "slug": slug,
        "endpoint_id": endpoint,
        "event_id": event_id,
        "attempt_id": attempt.id,
        "webhook_id": endpoint,
        "key_id": key.split("_")[1],
        "account_id": account,
        "linked_account_id": account,
        "removal_id": removal,
        "replay_id": begun.id,
        "org_id": scope.org_id,
    }
    return World(scope, key, token, ids)


@dataclass
class Worlds:
    everlink: Everlink
    mine: World
    others: dict[str, World]  # who must not see what is mine
    keys: dict[str, str]  # of mine, that must not pass
    tokens: dict[str, str]


@pytest.fixture(scope="module")
async def worlds(everlink: Everlink) -> Worlds:
    made, now = everlink.made, utc_now()
    org, other = [await made.tenants.add_organization(name, now) for name in ("Acme", "Other")]
    mine = await settle(everlink, Scope(org, Environment.TEST), "sandbox")
    strangers = (Scope(other, Environment.TEST), Scope(org, Environment.PRODUCTION))
    others = {
        name: await settle(everlink, scope, "sandbox-key") for name, scope in zip(STRANGERS, strangers, strict=True)
    }
    revoked = await made.api_keys.add(mine.scope, "revoked", now)
    await made.api_keys.revoke(revoked.split("_")[1], now)
    expired = await made.api_keys.add(mine.scope, "expired", now, expires_at=now)
    keys = {
        "revoked": revoked,
        "expired": expired,
        "truncated": mine.key[:-1],
        "of the other environment's kind": mine.key.replace("tk_", "pk_"),
        "session token": mine.token,
        "none": "",
    }
    await made.tenants.save_linked_account(mine.scope, "left", {}, now)
    ended = (await made.sessions.issue(mine.scope, "left", now, anew=True)).token
    await made.sessions.revoke(mine.scope, "left", now)
    expired_token = await made.sessions.issue(mine.scope, "left", now - timedelta(hours=2), anew=True)
    tokens = {
        "revoked": ended,
        "expired": expired_token.token,
        "truncated": mine.token[:-1],
        "API key": mine.key,
        "none": "",
    }
    return Worlds(everlink, mine, others, keys, tokens)


ROUTES = list(every_route())
GUARDED = [route for route in ROUTES if route.guard is not None]


async def call(
    everlink: Everlink, route: Route, ids: dict[str, str], credentials: dict[str, str], **query: str
) -> httpx.Response:
    body = route.body
    if isinstance(body, dict):
        body = {name: ids.get(name, value) for name, value in body.items()}
    headers = {**credentials, **({"linked_account_id": ids["linked_account_id"]} if route.names_account else {})}
    async with httpx.AsyncClient(base_url=everlink.url, timeout=40) as client:
        return await client.request(route.method, route.address(ids), headers=headers, json=body, params=query)


def passport(world: World, route: Route) -> dict[str, str]:
    if route.guard == SESSION:
        return {"authorization": f"Bearer {world.token}"}
    return {"x-api-key": world.key}


def said(answer: httpx.Response) -> dict[str, Any]:
    """All that an answer tells, but for the number of the request."""
    body = answer.json()
    if answer.status_code >= 400:
        assert body.pop("request_id")
    return {"status": answer.status_code, "body": body, "type": answer.headers["content-type"]}


def test_every_route_is_known() -> None:
    assert {str(route) for route in ROUTES if route.guard is None} == set(OPEN)
    for route in GUARDED:
        assert route.names <= NAMES, f"{route}: what is this parameter, and whose?"
        assert route.scopes or route.guard == SESSION, f"{route}: what must a key be allowed?"
    assert set(NO_ID) | set(SAYS_NOTHING) <= {str(route) for route in GUARDED}


@pytest.mark.parametrize("route", [one for one in GUARDED if one.guard in (KEY, EITHER)], ids=str)
async def test_no_other_key_passes(worlds: Worlds, route: Route) -> None:
    heard = []
    for key in worlds.keys.values():
        heard.append(said(await call(worlds.everlink, route, worlds.mine.ids, {"x-api-key": key} if key else {})))
        heard.append(said(await call(worlds.everlink, route, NEVER, {"x-api-key": key} if key else {})))
    if route.guard == KEY:
        heard.append(said(await call(worlds.everlink, route, worlds.mine.ids, bearer(worlds.mine.token))))
    assert heard[0]["status"] == 401 and heard[0]["body"]["error_code"] == "invalid_api_key"
    assert all(one == heard[0] for one in heard)


@pytest.mark.parametrize("route", [one for one in GUARDED if one.guard in (SESSION, EITHER)], ids=str)
async def test_no_other_token_passes(worlds: Worlds, route: Route) -> None:
    tokens = [token for token in worlds.tokens.values() if token or route.guard == SESSION]
    heard = [
        said(await call(worlds.everlink, route, ids, bearer(token)))
        for token in tokens
        for ids in (worlds.mine.ids, NEVER)
    ]
    if route.guard == SESSION:
        heard.append(said(await call(worlds.everlink, route, worlds.mine.ids, {"x-api-key": worlds.mine.key})))
    assert heard[0]["status"] == 401 and heard[0]["body"]["error_code"] == "invalid_session_token"
    assert all(one == heard[0] for one in heard)


@pytest.mark.parametrize("route", [one for one in GUARDED if one.scopes], ids=str)
async def test_no_key_passes_without_the_scope(worlds: Worlds, route: Route) -> None:
    for missing in route.scopes:
        rest = [one for one in KeyScope if one != missing]
        key = await worlds.everlink.made.api_keys.add(worlds.mine.scope, "weak", utc_now(), scopes=rest)
        refused = [
            said(await call(worlds.everlink, route, ids, {"x-api-key": key})) for ids in (worlds.mine.ids, NEVER)
        ]
        assert (refused[0]["status"], refused[0]["body"]["required_scopes"]) == (403, [missing])
        assert refused[0] == refused[1]


def slots(route: Route) -> Iterator[str]:
    """The ids that a request of this route names, one after the other."""
    if str(route) not in NO_ID:
        yield from sorted(route.names)
    if route.names_account:
        yield "linked_account_id"
    if isinstance(route.body, dict):
        yield from sorted(NAMES & set(route.body) - route.names)


@pytest.mark.parametrize(
    ("route", "name", "who"),
    [
        pytest.param(route, name, who, id=f"{route} {name} of {who}")
        for route in GUARDED
        for name in slots(route)
        for who in STRANGERS
        if name != "org_id" or who == "another organization"  # the environments are one organization's
    ],
)
async def test_foreign_id_is_like_one_that_never_was(worlds: Worlds, route: Route, name: str, who: str) -> None:
    other = worlds.others[who]
    own, mine = other.ids, worlds.mine.ids
    heard = [
        said(await call(worlds.everlink, route, {**own, name: value}, passport(other, route)))
        for value in (mine[name], NEVER[name])
    ]
    assert heard[0] == heard[1]
    allowed = {200} if str(route) in SAYS_NOTHING else {400, 422} if name in (route.body or ()) else {404}
    assert heard[0]["status"] in allowed | {404}
    assert heard[0]["body"].get("error_code") != "invalid_request"


@pytest.mark.parametrize("who", STRANGERS)
@pytest.mark.parametrize("route", [one for one in GUARDED if "linked_account_id" in one.query], ids=str)
async def test_foreign_account_in_a_filter_finds_nothing(worlds: Worlds, route: Route, who: str) -> None:
    other = worlds.others[who]
    unnamed = Route(**{**vars(route), "names_account": False})  # by the query, and no header
    heard = [
        said(await call(worlds.everlink, unnamed, other.ids, passport(other, route), linked_account_id=account))
        for account in (worlds.mine.ids["linked_account_id"], NEVER["linked_account_id"])
    ]
    assert heard[0] == heard[1]
    assert heard[0]["status"] == (404 if route.names_account else 200)


@pytest.mark.parametrize("route", GUARDED, ids=str)
async def test_owner_does_pass(everlink: Everlink, route: Route) -> None:
    """Or the refusals above would prove nothing."""
    org = await everlink.made.tenants.add_organization("Own", utc_now())
    own = await settle(everlink, Scope(org, Environment.TEST), "sandbox")
    brief = {"timeout": "0"} if "timeout" in route.query else {}
    answer = await call(everlink, route, own.ids, passport(own, route), **brief)
    assert answer.status_code not in (401, 403, 404, 405, 500), answer.text
    assert '"invalid_request"' not in answer.text, answer.text


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"} if token else {}
