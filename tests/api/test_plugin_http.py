"""`everlink.http()` and `everlink.credential()` with the real API: what a request carries, what a refusal brings."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx
import httpx._transports.default
import pytest

import everlink as user
from everlink import Client, Credential, EverlinkError, ReauthRequired
from everlink.contract import ConnectionStatus, ReauthReason
from everlink.plugin import vending
from everlink.plugin.credentials import Handout, in_activity
from everlink.plugin.http import _trusted
from everlink.plugin.vending import Vending
from tests.api.conftest import Everlink
from tests.api.provider import Provider
from tests.plugin.provider import Odd, running_odd


@pytest.fixture
async def odd() -> AsyncIterator[Odd]:
    async with running_odd() as one:
        yield one


@pytest.fixture
async def client(everlink: Everlink, product: httpx.AsyncClient) -> AsyncIterator[Client]:
    """As inside of an activity: of one worker."""
    async with Client(everlink.url, product.headers["x-api-key"]) as one:
        in_activity.set(Handout(Vending(one)))
        yield one


@pytest.fixture(autouse=True)
def _inside(client: Client) -> None:
    """Fixtures run in another context than tests."""
    in_activity.set(Handout(Vending(client)))


async def connect(client: Client, odd: Odd, slug: str, key: str | None = None) -> str:
    key = key or f"key-{uuid4().hex}"
    odd.keys.add(key)
    await client.catalog.save(slug, odd.definitions()[slug])
    await client.applications.enable(slug)
    fields = {"api_key": key, **({"sid": "AC-" + "1" * 12} if slug == "own-phone" else {})}
    await client.linked_accounts.save_key("acme", slug, fields)
    connection = await anext(client.connections.all(application=slug))
    odd.asked.clear()
    odd.bodies.clear()
    return connection.id


# What a request carries


async def test_a_bearer_token(everlink: Everlink, product: httpx.AsyncClient) -> None:
    connection_id = await everlink.connect(product)
    async with user.credential(connection_id) as credential:
        assert isinstance(credential, Credential) and credential.access_token
        assert credential.headers == {"Authorization": f"Bearer {credential.access_token}"}
        assert credential.access_token not in repr(credential)
    async with user.http(connection_id, base_url=everlink.sandbox) as http:
        assert (await http.get("/api/me")).json()["username"] == "ada"


@pytest.mark.parametrize("slug", ["own-chat", "own-phone", "own-query", "own-shop"])
async def test_each_application_takes_its_key_in_its_own_way(client: Client, odd: Odd, slug: str) -> None:
    connection_id, path = await connect(client, odd, slug), f"/{slug.removeprefix('own-')}/me"
    async with user.http(connection_id, base_url=odd.url) as http:
        answer = await http.post(path, params={"a": "b"}, json={"c": "d"})
    assert answer.status_code == 200 and answer.json().get("ok", True)
    assert odd.last().query_params["a"] == "b" and odd.bodies == [b'{"c":"d"}']
    assert odd.last().headers["accept"] == "*/*" and "v" not in odd.last().query_params


async def test_a_key_in_an_address_is_in_no_log_and_no_error(
    client: Client, odd: Odd, caplog: pytest.LogCaptureFixture
) -> None:
    key = f"key-{uuid4().hex}"
    connection_id = await connect(client, odd, "own-query", key)
    caplog.set_level(logging.INFO)
    async with user.http(connection_id, base_url=odd.url) as http:
        answer = await http.get("/query/me")
        assert answer.status_code == 200 and odd.last().query_params["api_key"] == key
        assert key not in str(answer.request.url)
    assert "/query/me" in caplog.text and key not in caplog.text


async def test_what_is_secret_of_a_key(client: Client, odd: Odd) -> None:
    async with user.credential(await connect(client, odd, "own-phone")) as credential:
        assert credential.secret_fields == ["api_key"] and credential.fields and "sid" in credential.fields


# Where it goes


@pytest.mark.parametrize("slug", ["own-chat", "own-query", "own-shop"])
async def test_nothing_is_carried_to_another_host(client: Client, odd: Odd, slug: str) -> None:
    key = f"key-{uuid4().hex}"
    connection_id, path = await connect(client, odd, slug, key), f"/{slug.removeprefix('own-')}/me"
    async with running_odd() as other, user.http(connection_id, follow_redirects=True) as http:
        await http.get(odd.url + path)  # the first request says where it goes
        await http.get(other.url + path)
        await http.get(f"{odd.url}/redirect", params={"to": other.url + path})
        assert len(other.asked) == 2
        for request in other.asked:
            assert key not in f"{request.url} {request.headers}"
        await http.get(f"{odd.url}/redirect", params={"to": path})
        assert odd.last().url.path == path and key in f"{odd.last().url} {odd.last().headers}"


@pytest.mark.parametrize("options", [{"base_url": "http://api.example"}, {}])
async def test_nothing_is_sent_in_the_clear(
    everlink: Everlink, product: httpx.AsyncClient, options: dict[str, str]
) -> None:
    connection_id = await everlink.connect(product)
    with pytest.raises(EverlinkError, match="https only"):
        async with user.http(connection_id, **options) as http:
            await http.get("http://api.example/me")


async def test_what_goes_to_this_machine_goes_through_no_proxy(
    client: Client, odd: Odd, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection_id = await connect(client, odd, "own-shop")
    asked: list[bytes] = []

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        writer.close()

    async with user.credential(connection_id), await asyncio.start_server(proxy, "127.0.0.1", 0) as server:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        async with user.http(connection_id, base_url=odd.url) as http:
            assert (await http.get("/shop/me")).status_code == 200
    assert not asked and len(odd.asked) == 1


async def test_certificates_are_read_once_for_all_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes 20 ms each time, in which the worker's event loop does nothing else."""
    read, create = [], ssl.create_default_context

    def reading(**what: Any) -> ssl.SSLContext:
        read.append(what)
        return create(**what)

    monkeypatch.setattr(ssl, "create_default_context", reading)
    monkeypatch.setattr(httpx._transports.default, "create_ssl_context", httpx.create_ssl_context)
    _trusted.cache_clear()
    for _ in range(3):
        user.http("con_1")
    assert len(read) == 1
    user.http("con_1", verify=create())  # a user's own is not touched
    assert len(read) == 1


async def test_only_activities_get_credentials() -> None:
    in_activity.set(None)
    with pytest.raises(RuntimeError, match="EverlinkPlugin"):
        user.http("con_1")
    with pytest.raises(RuntimeError, match="EverlinkPlugin"):
        async with user.credential("con_1"):
            pass


# One fetch for many


async def fetched(client: Client, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    asked: list[str] = []
    token = client.connections.token

    async def counted(connection_id: str, *, min_ttl: float) -> Credential:
        asked.append(connection_id)
        return await token(connection_id, min_ttl=min_ttl)

    monkeypatch.setattr(client.connections, "token", counted)
    return asked


async def test_one_fetch_for_many_callers(
    everlink: Everlink, product: httpx.AsyncClient, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection_id, asked = await everlink.connect(product), await fetched(client, monkeypatch)
    shared = Vending(client)
    first = asyncio.create_task(shared.token(connection_id))
    others = [asyncio.create_task(shared.token(connection_id)) for _ in range(20)]
    await asyncio.sleep(0)
    first.cancel()
    assert len({(await one).access_token for one in others}) == 1
    await shared.token(connection_id)
    assert asked == [connection_id] and first.cancelled()


async def test_what_ended_is_seen_when_the_time_is_over(
    everlink: Everlink, product: httpx.AsyncClient, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vending, "LIFE", 0.0)
    connection_id = await everlink.connect(product)
    shared = Vending(client)
    await shared.token(connection_id)
    await client.connections.disconnect(connection_id)
    with pytest.raises(EverlinkError) as ended:
        await shared.token(connection_id)
    assert ended.value.error_code == "connection_disconnected" and not isinstance(ended.value, ReauthRequired)


# Refusals


async def test_a_dead_grant(everlink: Everlink, product: httpx.AsyncClient, client: Client) -> None:
    connection_id = await everlink.connect(product)
    async with user.http(connection_id, base_url=everlink.sandbox) as http, everlink.customer() as ada:
        assert (await http.get("/api/me")).status_code == 200
        await ada.revoke()
        with pytest.raises(ReauthRequired) as told:
            await http.get("/api/me")
    assert (told.value.connection_id, told.value.reason) == (connection_id, ReauthReason.ACCESS_REVOKED)
    assert (await client.connections.get(connection_id)).status is ConnectionStatus.REAUTH_REQUIRED


@pytest.mark.parametrize("slug", ["own-chat", "own-phone", "own-query"])
async def test_a_dead_key_in_each_providers_words(client: Client, odd: Odd, slug: str) -> None:
    connection_id, path = await connect(client, odd, slug), f"/{slug.removeprefix('own-')}/me"
    async with user.http(connection_id, base_url=odd.url) as http:
        await http.get(path)
        odd.keys.clear()
        with pytest.raises(ReauthRequired) as told:
            await http.get(path)
    assert told.value.connection_id == connection_id


async def test_a_401_that_says_nothing_of_the_key_is_answered(client: Client, odd: Odd) -> None:
    connection_id = await connect(client, odd, "own-phone")
    async with user.http(connection_id, base_url=odd.url) as http:
        answer = await http.get("/phone/strange")
    assert (answer.status_code, answer.json()) == (401, {"code": 20404})
    assert len(odd.asked) == 1  # nobody verified anything


async def test_a_request_that_is_refused_for_itself_is_answered(client: Client, odd: Odd) -> None:
    connection_id = await connect(client, odd, "own-shop")
    async with user.http(connection_id, base_url=odd.url) as http:
        assert (await http.get("/shop/admin")).json() == {"error": "not yours"}
        odd.asked.clear()
        assert (await http.get("/shop/admin")).json() == {"error": "not yours"}
    assert [request.url.path for request in odd.asked] == ["/shop/admin"]  # the provider was asked of the key before
    assert (await client.connections.get(connection_id)).status is ConnectionStatus.ACTIVE


async def test_a_newer_key_is_taken_at_once(client: Client, odd: Odd) -> None:
    connection_id, newer = await connect(client, odd, "own-shop"), f"key-{uuid4().hex}"
    async with user.http(connection_id, base_url=odd.url) as http:
        await http.get("/shop/me")
        odd.keys = {newer}
        await client.linked_accounts.save_key("acme", "own-shop", {"api_key": newer})
        odd.asked.clear()
        odd.bodies.clear()
        assert (await http.post("/shop/me", json={"a": 1})).status_code == 200
    assert odd.bodies == [b'{"a":1}', b'{"a":1}']
    assert [request.url.path for request in odd.asked] == ["/shop/me"] * 2


async def test_what_is_streamed_is_not_sent_again(client: Client, odd: Odd) -> None:
    connection_id, newer = await connect(client, odd, "own-shop"), f"key-{uuid4().hex}"

    async def parts() -> AsyncIterator[bytes]:
        yield b"once"

    async with user.http(connection_id, base_url=odd.url) as http:
        await http.get("/shop/me")
        odd.keys = {newer}
        await client.linked_accounts.save_key("acme", "own-shop", {"api_key": newer})
        assert (await http.post("/shop/me", content=parts())).status_code == 401
        assert (await http.post("/shop/me", content=parts())).status_code == 200  # as a retry of the activity would


async def test_an_access_token_that_a_refresh_replaces(
    everlink: Everlink, product: httpx.AsyncClient, client: Client, sites: Provider
) -> None:
    site, own = f"site-{uuid4().hex[:8]}", f"client-{uuid4().hex[:8]}"
    sites.customers[own] = "secret-of-it"
    await client.applications.enable("machine")
    fields = {"client_id": own, "client_secret": "secret-of-it", "site": site}
    await client.linked_accounts.save_key("acme", "machine", fields)
    connection = await anext(client.connections.all(application="machine"))
    async with user.http(connection.id, base_url=sites.url) as http:
        async with user.credential(connection.id) as before:
            assert before.access_token
        del sites.tokens[before.access_token]
        answers = await asyncio.gather(*(http.get(f"/{site}/me") for _ in range(5)))
        assert [answer.status_code for answer in answers] == [200] * 5
        async with user.credential(connection.id) as after:
            assert after.generation == before.generation + 1


async def test_what_cannot_be_verified_now_is_waited_for(
    client: Client, odd: Odd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vending, "VERIFYING", 1.0)
    key = f"key-{uuid4().hex}"
    connection_id = await connect(client, odd, "own-shop", key)
    async with user.http(connection_id, base_url=odd.url) as http:
        odd.is_down = True
        with pytest.raises(ReauthRequired) as told:
            await http.get("/shop/admin")
    assert (told.value.connection_id, told.value.reason, told.value.generation) == (connection_id, None, 1)
    assert (await client.connections.get(connection_id)).status is ConnectionStatus.ACTIVE


async def test_a_refusal_that_another_library_met(
    everlink: Everlink, product: httpx.AsyncClient, client: Client
) -> None:
    connection_id = await everlink.connect(product)
    async with user.credential(connection_id) as credential, everlink.customer() as ada:
        await ada.revoke()
        with pytest.raises(ReauthRequired):
            await credential.rejected()
        await ada.consent(await client.connections.reconnect_link(connection_id))
    async with user.credential(connection_id) as newer:
        assert newer.generation > credential.generation  # the dead one is not kept


async def test_a_refusal_that_was_none_of_the_credential(
    everlink: Everlink, product: httpx.AsyncClient, client: Client
) -> None:
    connection_id = await everlink.connect(product)
    async with user.credential(connection_id) as credential:
        await credential.rejected()
    assert (await client.connections.get(connection_id)).status is ConnectionStatus.ACTIVE


# Streams


async def test_a_download_streams(client: Client, odd: Odd) -> None:
    connection_id = await connect(client, odd, "own-chat")
    async with (
        asyncio.timeout(10),
        user.http(connection_id, base_url=odd.url) as http,
        http.stream("GET", "/download") as answer,
    ):
        size = 0
        async for chunk in answer.aiter_bytes():
            size += len(chunk)
            if size >= 200_000:
                odd.goes_on.set()  # only now does the provider go on
        assert size == 200_004


async def test_a_refusal_is_seen_in_a_stream_and_still_there_to_read(client: Client, odd: Odd) -> None:
    connection_id = await connect(client, odd, "own-chat")
    async with user.http(connection_id, base_url=odd.url) as http:
        async with http.stream("GET", "/chat/me") as answer:
            assert await answer.aread() == b'{"ok":true}'
        odd.keys.clear()
        with pytest.raises(ReauthRequired):
            async with http.stream("GET", "/chat/me"):
                pass
