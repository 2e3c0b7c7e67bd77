"""The operator's page: what is seen there, and that nothing is done that may not be."""

from __future__ import annotations

import asyncio
import re
from datetime import timedelta
from urllib.parse import quote

import httpx
import pytest
from sqlalchemy import select, update

from dev.listener import Listener
from everlink.contract import AuthType, ConnectionStatus, EventType, Health, KeyScope, ReauthReason, Transition
from store.connections import connection_ref
from store.database import StoreUnavailable, utc_now
from store.scope import Scope
from store.tables import APPLICATIONS, DELIVERIES, REFRESH_INTENTS, Connection
from tests.api.conftest import Everlink
from tests.api.console import HOME, NEVER, PAGES, browser, operator, scope, sign_in, token, visitor
from tests.api.removing import scope_of
from tests.api.test_replays import close, happen

__all__ = ["browser", "scope"]  # fixtures
HOSTILE = "<img src=x onerror=alert(1)>\"'&{{7*7}}"


async def add(everlink: Everlink, scope: Scope, name: str, account: str = "acme", slug: str = "sandbox") -> Connection:
    """A connection as the store has it; no workflow runs."""
    await everlink.made.tenants.add_linked_account(scope, account, {}, utc_now())
    row = await everlink.made.connections.find_or_create(
        scope,
        linked_account_id=account,
        slug=slug,
        identifier=name,
        display_name=None,
        auth_type=AuthType.OAUTH2,
        now=utc_now() - timedelta(days=3),
    )
    await tell(everlink, row, 1, ConnectionStatus.ACTIVE, EventType.CREATED)
    return row


async def tell(
    everlink: Everlink,
    row: Connection,
    sequence: int,
    status: ConnectionStatus,
    event: EventType | None,
    *,
    reason: ReauthReason | None = None,
    health: Health = Health.OK,
    note: str = "",
) -> None:
    transition = Transition(
        sequence=sequence,
        at=utc_now(),
        previous_status=ConnectionStatus.PENDING if sequence == 1 else ConnectionStatus.ACTIVE,
        status=status,
        health=health,
        reason=reason,
        event=event,
        note=note,
    )
    await everlink.made.connections.record(connection_ref(row), transition, utc_now())


async def break_(everlink: Everlink, row: Connection, reason: ReauthReason, note: str = "") -> None:
    status, event = ConnectionStatus.REAUTH_REQUIRED, EventType.EXPIRED
    await tell(everlink, row, 2, status, event, reason=reason, note=note)


def listed(page: httpx.Response) -> list[str]:
    """The ids of the connections that a page lists."""
    return re.findall(r'class="whole" href="/console/connections/(con_\w+)"', page.text)


# What is seen


async def test_connections_are_filtered_by_any_combination(
    everlink: Everlink, scope: Scope, product: httpx.AsyncClient, browser: httpx.AsyncClient
) -> None:
    await operator(browser, product)
    well, revoked, invalid = [await add(everlink, scope, name) for name in ("well", "revoked", "invalid")]
    ill = await add(everlink, scope, "ill", account="other", slug="sandbox-key")
    await break_(everlink, revoked, ReauthReason.ACCESS_REVOKED)
    await break_(everlink, invalid, ReauthReason.CREDENTIALS_INVALID)
    await tell(everlink, ill, 2, ConnectionStatus.ACTIVE, EventType.DEGRADED, health=Health.DEGRADED)
    for query, wanted in {
        "": ids(well, revoked, invalid, ill),
        "status=&health=&reason=&application=&account=": ids(well, revoked, invalid, ill),
        "status=reauth_required": ids(revoked, invalid),
        "reason=access_revoked": ids(revoked),
        "health=degraded": ids(ill),
        "status=active&health=ok": ids(well),
        "application=sandbox-key": ids(ill),
        "account=acme&status=active": ids(well),
        "account=nobody": set(),
        "status=disconnected": set(),
    }.items():
        page = await browser.get(f"{HOME}?{query}")
        assert page.status_code == 200 and set(listed(page)) == wanted, query
        assert ("No connection is like that" in page.text) == (not wanted)
    tiles = re.findall(r'class="tile (\w+)" href="([^"]+)"[^>]*><strong>(\d+)', (await browser.get(HOME)).text)
    assert [(kind, count) for kind, _, count in tiles] == [
        ("all", "4"),
        ("reauth_required", "2"),
        ("active", "2"),
        ("degraded", "1"),
        ("pending", "0"),
        ("disconnected", "0"),
    ]
    for _, link, count in tiles:  # a count leads to as many rows
        assert len(listed(await browser.get(link.replace("&amp;", "&")))) == int(count)
    page = await browser.get(f"{HOME}?status=reauth_required")
    assert "Access was revoked at the provider." in page.text


def ids(*rows: Connection) -> set[str]:
    return {row.id for row in rows}


async def test_connections_come_page_by_page(
    everlink: Everlink, scope: Scope, product: httpx.AsyncClient, browser: httpx.AsyncClient
) -> None:
    await operator(browser, product)
    wanted = {(await add(everlink, scope, f"customer-{number}")).id for number in range(101)}
    await add(everlink, scope, "another", account="other")
    seen, address = list[str](), f"{HOME}?account=acme"
    for count in (50, 50, 1):
        page = await browser.get(address)
        assert len(listed(page)) == count
        seen += listed(page)
        following = re.search(r'rel="next" href="([^"]+)"', page.text)
        address = following[1].replace("&amp;", "&") if following else ""
    assert address == "" and len(seen) == 101 and set(seen) == wanted
    forged = await browser.get(f"{HOME}?cursor=Zm9yZ2Vk")
    assert forged.status_code == 422 and "text/html" in forged.headers["content-type"]


async def test_nobody_connected_anything_yet(product: httpx.AsyncClient, browser: httpx.AsyncClient) -> None:
    await operator(browser, product)
    assert "Nobody has connected anything yet" in (await browser.get(HOME)).text
    assert "No webhook endpoint is there yet" in (await browser.get("/console/endpoints")).text


async def test_one_connection_has_its_life_as_a_picture_and_as_a_table(
    everlink: Everlink, scope: Scope, product: httpx.AsyncClient, browser: httpx.AsyncClient
) -> None:
    await operator(browser, product)
    row = await add(everlink, scope, "ada@example.com")
    await everlink.made.credentials.grant(
        scope, row.id, b"sealed", renewable=True, expires_at=utc_now() + timedelta(minutes=30), now=utc_now()
    )
    await break_(everlink, row, ReauthReason.APP_UNINSTALLED, note="the provider announced it")
    async with everlink.made.database.writing() as writing:
        tried = {"connection_id": row.id, "generation": 1, "attempt": 1, "outcome": "unknown"}
        await writing.execute(
            REFRESH_INTENTS.insert().values(id=row.id, started_at=utc_now(), lease_until=utc_now(), **tried)
        )
    page = await browser.get(f"/console/connections/{row.id}")
    assert page.status_code == 200
    picture = page.text[page.text.index("<svg role") : page.text.index("</figure>")]
    for part in ('aria-labelledby="life-title life-words"', "<title id", "<desc id", 'class="phase reauth_required"'):
        assert part in picture
    assert "#m-connected" in picture and "#m-expired" in picture and "#m-tried" in picture
    table = page.text[page.text.index('id="happened"') :]
    assert "The application was uninstalled at the provider; the provider announced it." in table
    found = (await product.get(f"/v1/connections/{row.id}")).json()
    assert f'href="{found["workflow_url"]}"' in page.text
    assert "Tried to refresh 1 time since" in page.text
    assert re.search(r"in (29 min \d+ s|30 min)", page.text)  # the next expiry
    assert row.id in listed(await browser.get(HOME))


async def test_a_long_life_is_cut_short_and_shown_whole_on_request(
    everlink: Everlink, scope: Scope, product: httpx.AsyncClient, browser: httpx.AsyncClient
) -> None:
    await operator(browser, product)
    row = await add(everlink, scope, "ada@example.com")
    for sequence in range(2, 61):
        await tell(everlink, row, sequence, ConnectionStatus.ACTIVE, None, note=f"note {sequence}")
    page, whole = [await browser.get(f"/console/connections/{row.id}{query}") for query in ("", "?whole=true")]
    assert "Note 60." in page.text and "Note 2." not in page.text and "All 60" in page.text
    assert "Note 2." in whole.text and "All 60" not in whole.text


async def test_names_that_are_no_markup(
    everlink: Everlink, scope: Scope, product: httpx.AsyncClient, browser: httpx.AsyncClient
) -> None:
    await operator(browser, product)
    row = await add(everlink, scope, HOSTILE, account=HOSTILE)
    await break_(everlink, row, ReauthReason.ACCESS_REVOKED, note=HOSTILE)
    for path in (HOME, f"{HOME}?account={quote(HOSTILE)}", f"/console/connections/{row.id}"):
        page = await browser.get(path)
        assert row.id in page.text and "<img src=x" not in page.text and "&lt;img src=x" in page.text
        assert "{{7*7}}" in page.text


async def test_applications_say_what_holds_them_up(
    everlink: Everlink, scope: Scope, product: httpx.AsyncClient, browser: httpx.AsyncClient
) -> None:
    await operator(browser, product)
    assert "No alarm" in (await browser.get("/console/applications")).text
    trouble = {"sandbox": {"alarm": "the provider refuses our client", "alarm_at": utc_now() - timedelta(hours=5)}}
    trouble["sandbox-key"] = {"outage_since": utc_now() - timedelta(minutes=90)}
    async with everlink.made.database.writing() as writing:
        for slug, values in trouble.items():
            mine = (APPLICATIONS.c.slug == slug) & scope.owns(APPLICATIONS)
            await writing.execute(update(APPLICATIONS).where(mine).values(values))
    page = await browser.get("/console/applications")
    assert "The provider refuses our client. Since" in page.text and "(5 h)" in page.text
    assert "The provider is out since" in page.text and "(1 h 30 min)" in page.text
    assert "2 applications have trouble" in (await browser.get(HOME)).text


# Replays


async def test_an_event_that_failed_is_replayed_from_the_page_of_its_connection(
    everlink: Everlink, scope: Scope, product: httpx.AsyncClient, browser: httpx.AsyncClient
) -> None:
    await operator(browser, product, allow_changes="true")
    async with Listener() as listener:
        endpoint = await listener.subscribe(product)
        row = await add(everlink, scope, "ada@example.com")
        [event] = (await product.get("/v1/events", params={"connection_id": row.id})).json()["events"]
        await close(everlink, [event["id"]])
        address = f"/console/connections/{row.id}"
        page = await browser.get(address)
        assert "Changes allowed" in page.text
        form = re.search(r'<form method="post" action="([^"]+)">\s*<input type="hidden" name="token"', page.text)
        assert form is not None and f"/{endpoint}/replay" in page.text
        path = f"/console/events/{event['id']}/deliveries/{endpoint}/replay"
        after = await browser.post(path, data={"token": await token(browser), "back": address})
        assert after.url.path == address and "The event is being sent once more." in after.text
        await listener.wait_for("Connection Created", "sandbox", "acme")
        assert listener.ids == [event["id"]]
        elsewhere = await browser.post(
            path, data={"token": await token(browser), "back": "//evil.example"}, follow_redirects=False
        )
        assert elsewhere.headers["location"] == f"{HOME}?notice=replayed"


async def test_what_an_endpoint_missed_is_replayed_from_its_page(
    everlink: Everlink, scope: Scope, product: httpx.AsyncClient, browser: httpx.AsyncClient
) -> None:
    await operator(browser, product, allow_changes="true")
    async with Listener() as listener:
        endpoint = await listener.subscribe(product)
        address = f"/console/endpoints/{endpoint}"
        await close(everlink, events := await happen(everlink, scope, 60))
        page = await browser.get(f"{address}?status=failed")
        assert page.text.count("/replay") == 51 and 'rel="next"' in page.text  # each, and all of them
        following = re.search(r'rel="next" href="([^"]+)"', page.text)
        assert following is not None
        assert (await browser.get(following[1].replace("&amp;", "&"))).text.count("Failed</span>") == 10
        assert "No delivery has this status" in (await browser.get(f"{address}?status=delivered")).text
        begun = await browser.post(f"{address}/replay", data={"token": await token(browser)})
        assert begun.status_code == 200 and "The replay is" in begun.text
        async with asyncio.timeout(40):
            while "60 delivered" not in (page := await browser.get(begun.url)).text:
                await asyncio.sleep(0.1)
        assert "The replay is over: 60 events sent once more" in page.text
        assert sorted(listener.ids) == sorted(events)

        await product.patch(f"/v1/webhook-endpoints/{endpoint}", json={"is_enabled": False})
        refused = await browser.post(f"{address}/replay", data={"token": await token(browser)})
        assert refused.status_code == 409 and "enable it first" in refused.text
        assert f"{address}/replay" not in (await browser.get(address)).text


async def test_nothing_is_changed_without_the_right_to_it(
    everlink: Everlink, scope: Scope, product: httpx.AsyncClient
) -> None:
    hook = {"url": "http://127.0.0.1:9/", "events": ["Application Refused"]}
    endpoint = (await product.post("/v1/webhook-endpoints", json=hook)).json()["id"]
    [event] = await happen(everlink, scope, 1)
    await close(everlink, [event])
    weak = await everlink.made.api_keys.add(scope, "weak", utc_now(), scopes=[KeyScope.READ, KeyScope.CONNECT])
    strong = product.headers["x-api-key"]
    paths = (f"/console/events/{event}/deliveries/{endpoint}/replay", f"/console/endpoints/{endpoint}/replay")
    for key, form in ((strong, {}), (weak, {}), (weak, {"allow_changes": "true"})):
        async with visitor(everlink) as browser:
            await sign_in(browser, key, **form)
            page = await browser.get(f"/console/endpoints/{endpoint}")
            assert "Read-only" in page.text and "/replay" not in page.text
            mine = await token(browser)
            for path in paths:
                refused = await browser.post(path, data={"token": mine})
                assert refused.status_code == 403 and "read-only" in refused.text
    async with visitor(everlink) as browser, visitor(everlink) as other:
        await sign_in(browser, strong, allow_changes="true")
        await sign_in(other, strong, allow_changes="true")
        mine, theirs = await token(browser), await token(other)
        for path in paths:
            for wrong in ("", theirs, mine[:-1], "é"):
                assert (await browser.post(path, data={"token": wrong})).status_code == 403
            for origin in ("null", "https://evil.example", everlink.url.replace("127.0.0.1", "localhost")):
                answer = await browser.post(path, data={"token": mine}, headers={"origin": origin})
                assert answer.status_code == 403 and "did not come from our page" in answer.text
    async with everlink.made.database.reading() as reading:
        query = select(DELIVERIES.c.status, DELIVERIES.c.round).where(DELIVERIES.c.event_id == event)
        assert (await reading.execute(query)).one() == ("failed", 0)


# Tenancy


async def test_another_tenants_id_is_like_one_that_never_was(
    everlink: Everlink, scope: Scope, product: httpx.AsyncClient, browser: httpx.AsyncClient
) -> None:
    other = await everlink.product("Other")
    theirs = await scope_of(everlink.made, other)
    row = await add(everlink, theirs, "theirs-alone@example.com")
    hook = {"url": "http://127.0.0.1:9/theirs", "events": ["Application Refused"]}
    endpoint = (await other.post("/v1/webhook-endpoints", json=hook)).json()["id"]
    [event] = await happen(everlink, theirs, 1)
    ours = (await product.post("/v1/webhook-endpoints", json=hook | {"url": "http://127.0.0.1:9/ours"})).json()["id"]
    await operator(browser, product, allow_changes="true")
    hidden = {"token": await token(browser)}
    never = {"connection": NEVER, "endpoint": f"we_{NEVER[4:]}", "event": "5b0e5a9c-0000-4000-8000-000000000000"}
    real = {"connection": row.id, "endpoint": endpoint, "event": event}
    for method, path in (
        ("GET", "/console/connections/{connection}"),
        ("GET", "/console/endpoints/{endpoint}"),
        ("POST", "/console/endpoints/{endpoint}/replay"),
        ("POST", "/console/events/{event}/deliveries/{endpoint}/replay"),
        ("POST", f"/console/events/{{event}}/deliveries/{ours}/replay"),
    ):
        pages = [
            await browser.request(method, path.format(**named), data=hidden if method == "POST" else None)
            for named in (real, never)
        ]
        assert [page.status_code for page in pages] == [404, 404], path
        assert pages[0].text == pages[1].text
    for path in PAGES:
        page = (await browser.get(path)).text
        assert "theirs" not in page and row.id not in page and endpoint not in page
    replay = (await other.post(f"/v1/webhook-endpoints/{endpoint}/replay", json={})).json()["id"]
    assert (await browser.get(f"/console/endpoints/{ours}?replay={replay}")).status_code == 404


# What every page holds


@pytest.mark.parametrize("path", [*PAGES, f"/console/connections/{NEVER}", "/console?status=nonsense"])
async def test_every_page_is_locked_down(product: httpx.AsyncClient, browser: httpx.AsyncClient, path: str) -> None:
    for signed_in in (False, True):
        if signed_in:
            await operator(browser, product)
        page = await browser.get(path)
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        policy = page.headers["content-security-policy"]
        for part in ("default-src 'none'", "form-action 'self'", "base-uri 'none'", "frame-ancestors 'none'"):
            assert part in policy
        assert "unsafe" not in policy and "script-src" not in policy
        assert page.headers["cache-control"] == "no-store"
        assert page.headers["cross-origin-opener-policy"] == "same-origin"
        assert page.headers["referrer-policy"] == "same-origin"
        assert page.headers["x-content-type-options"] == "nosniff"
        assert "<script" not in page.text and "style=" not in page.text
        assert not re.search(r'(?:src|href|action)="(?:https?:)?//', page.text)
        assert len(page.content) < 60_000


async def test_a_store_that_is_away_is_a_page(
    everlink: Everlink, product: httpx.AsyncClient, browser: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object) -> None:
        raise StoreUnavailable

    await operator(browser, product)
    monkeypatch.setattr(everlink.made.console_sessions, "of_browser", away)
    page = await browser.get(HOME)
    assert page.status_code == 503 and "text/html" in page.headers["content-type"]


async def test_style_is_a_file_that_may_be_kept(browser: httpx.AsyncClient) -> None:
    style = await browser.get("/console/style.css")
    assert style.headers["content-type"].startswith("text/css") and "max-age" in style.headers["cache-control"]
    assert "url(" not in style.text and "@import" not in style.text
