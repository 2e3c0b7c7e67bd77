"""Events are read in place of webhooks: in order, on from where one stood, each as it was delivered."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import httpx
import pytest

from dev.listener import Listener
from everlink import Client, NotFound
from everlink.contract import Environment, EventType
from store.database import utc_now
from store.scope import Scope
from tests.api.conftest import Everlink
from tests.api.removing import scope_of

EVENTS = "/v1/events"


@pytest.fixture
async def client(everlink: Everlink, product: httpx.AsyncClient) -> AsyncIterator[Client]:
    async with Client(everlink.url, product.headers["x-api-key"]) as one:
        yield one


async def test_receiver_that_polls_reads_what_it_would_have_been_sent(
    everlink: Everlink, product: httpx.AsyncClient, client: Client
) -> None:
    empty = await client.events.page()
    assert (empty.events, empty.has_more) == ([], False)
    async with Listener() as listener:
        await listener.subscribe(product)
        connection = await everlink.connect(product)
        await listener.wait_for("Connection Created", "sandbox", "acme")
        [created] = (await client.events.page(after=empty.next_cursor)).events
        assert (created.type, created.slug, created.connection_id) == (EventType.CREATED, "sandbox", connection)
        assert [created.body] == listener.received and [created.id] == listener.ids
        assert list(created.body) == list(listener.received[0])  # in the same order, too
    assert await client.events.get(created.id) == created

    stood = (await client.events.page(types=[EventType.EXPIRED])).next_cursor  # it looked through all there was
    assert (await client.events.page(after=stood)).next_cursor == stood
    await client.connections.disconnect(connection)
    [deleted] = (await client.events.page(after=stood, linked_account_id="acme")).events
    assert deleted.type is EventType.DELETED and deleted.position > created.position
    assert [one.id async for one in client.events.all(connection_id=connection)] == [created.id, deleted.id]
    assert [one.id async for one in client.events.all(types=[EventType.DELETED])] == [deleted.id]
    assert [one async for one in client.events.all(since=utc_now() + timedelta(hours=1))] == []
    with pytest.raises(NotFound):
        await client.events.get("unknown")


async def test_pages_say_whether_there_is_more(everlink: Everlink, product: httpx.AsyncClient) -> None:
    await everlink.connect(product)
    await everlink.connect(product, "grace")
    first = (await product.get(EVENTS, params={"limit": 1})).json()
    assert len(first["events"]) == 1 and first["has_more"]
    second = (await product.get(EVENTS, params={"limit": 1, "after": first["next_cursor"]})).json()
    assert len(second["events"]) == 1 and not second["has_more"]
    assert first["events"][0]["position"] < second["events"][0]["position"]
    both = (await product.get(EVENTS, params=[("type", "Connection Created"), ("type", "Connection Deleted")])).json()
    assert both["events"] == first["events"] + second["events"]


async def test_cursor_is_its_tenants_and_its_lists(everlink: Everlink, product: httpx.AsyncClient) -> None:
    scope = await scope_of(everlink.made, product)
    own = (await product.get(EVENTS)).json()["next_cursor"]
    strangers = [await everlink.product("Other"), await everlink.client(Scope(scope.org_id, Environment.PRODUCTION))]
    for stranger in strangers:
        assert (await stranger.get(EVENTS, params={"after": own})).json()["error_code"] == "invalid_cursor"
    assert (await product.get("/v1/connections", params={"cursor": own})).json()["error_code"] == "invalid_cursor"
    for wrong in ("", "1", own[:-1], own + "A"):
        answer = await product.get(EVENTS, params={"after": wrong})
        assert (answer.status_code, answer.json()["error_code"]) == (422, "invalid_cursor"), wrong


@pytest.mark.parametrize(
    "params",
    [
        {"type": "Connection Lost"},
        {"limit": 201},
        {"limit": 0},
        {"since": "yesterday"},
        {"since": "2026-01-01T00:00:00"},  # in which time zone?
        {"since": "1767225600"},  # or milliseconds?
        {"since": "0001-01-01T00:00:00+14:00"},
        {"since": "9999-12-31T23:59:59-14:00"},
    ],
)
async def test_filter_that_is_none_is_refused(product: httpx.AsyncClient, params: dict[str, str]) -> None:
    answer = await product.get(EVENTS, params=params)
    assert (answer.status_code, answer.json()["error_code"]) == (422, "invalid_request")
