"""Requests are bounded in time and bytes, whatever the server does."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Awaitable, Callable

import httpx
import pytest

import providers.http
from providers.guard import TargetGuard
from providers.http import RequestFailed, make_client, send

Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"


@pytest.fixture
async def client(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[httpx.AsyncClient]:
    monkeypatch.setattr(providers.http, "DEADLINE_SECONDS", 0.7)
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    async with make_client(TargetGuard(["127.0.0.1"])) as made:
        yield made


class Server:
    """Behaves as a test says, and remembers what it was sent."""

    def __init__(self, behaviour: Behaviour) -> None:
        self._behaviour = behaviour
        self.seen: list[bytes] = []

    async def __aenter__(self) -> str:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/token"

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.seen.append(await reader.read(65536))
        try:
            await self._behaviour(reader, writer)
        except OSError:
            pass
        finally:
            writer.close()


async def failing(client: httpx.AsyncClient, behaviour: Behaviour) -> RequestFailed:
    async with Server(behaviour) as url:
        with pytest.raises(RequestFailed) as caught:
            await asyncio.wait_for(send(client, "POST", url, data={"refresh_token": "planted"}), 5)
    assert "planted" not in repr(caught.value)
    return caught.value


async def test_dripped_body_is_cut_at_the_deadline(client: httpx.AsyncClient) -> None:
    async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + b"content-length: 1000\r\n\r\n")
        for _ in range(100):
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.05)

    assert (await failing(client, drip)).sent


async def test_black_hole_is_given_up(client: httpx.AsyncClient) -> None:
    async def silence(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(2)

    assert (await failing(client, silence)).sent


async def test_reset_after_the_request_may_have_been_acted_on(client: httpx.AsyncClient) -> None:
    async def reset(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    assert (await failing(client, reset)).sent


async def test_truncated_answer_is_none(client: httpx.AsyncClient) -> None:
    async def truncate(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + b'content-length: 1000\r\n\r\n{"access_token": "x')
        await writer.drain()

    assert (await failing(client, truncate)).sent


async def test_huge_answer_is_not_read_to_its_end(client: httpx.AsyncClient) -> None:
    sent = 0

    async def pour(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(HEAD + b"content-length: 104857600\r\n\r\n")
        for _ in range(1600):
            writer.write(b"x" * 65536)
            await writer.drain()
            sent += 65536

    assert (await failing(client, pour)).sent
    assert sent < 20 * 1024 * 1024


async def test_gzip_bomb_is_not_inflated(client: httpx.AsyncClient) -> None:
    bomb = gzip.compress(b"0" * 50_000_000)

    async def compressed(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + b"content-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(bomb) + bomb)
        await writer.drain()

    async with Server(compressed) as url:
        answer = await send(client, "GET", url)
    assert answer.body == bomb and answer.json is None


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_redirect_is_not_followed_and_the_secret_not_sent_again(client: httpx.AsyncClient, status: int) -> None:
    async def unexpected(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + b"content-length: 0\r\n\r\n")

    thief = Server(unexpected)
    async with thief as elsewhere:

        async def redirect(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(f"HTTP/1.1 {status} X\r\nlocation: {elsewhere}\r\ncontent-length: 0\r\n\r\n".encode())
            await writer.drain()

        async with Server(redirect) as url:
            assert (await send(client, "POST", url, data={"refresh_token": "planted"})).status == status
    assert thief.seen == []


async def test_refused_connection_was_not_sent(client: httpx.AsyncClient) -> None:
    with pytest.raises(RequestFailed) as caught:
        await send(client, "POST", "http://127.0.0.1:9/token", data={"a": "b"})
    assert not caught.value.sent


async def test_refused_address_was_not_sent() -> None:
    async with make_client(TargetGuard()) as strict:
        with pytest.raises(RequestFailed) as caught:
            await send(strict, "POST", "http://127.0.0.1:80/", data={"a": "b"})
    assert not caught.value.sent


async def test_proxy_of_the_environment_is_ignored(client: httpx.AsyncClient) -> None:
    async def fine(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + b'content-length: 8\r\n\r\n{"a": 1}')
        await writer.drain()

    async with Server(fine) as url:
        assert (await send(client, "GET", url)).json == {"a": 1}
