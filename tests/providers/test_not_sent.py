"""What fails before the request is written was not sent: nobody acted on it, and nothing is in doubt."""

from __future__ import annotations

import asyncio
import socket
import time
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from providers.guard import TargetGuard
from providers.http import RequestFailed, make_client, send
from tests.providers.conftest import DEADLINE
from tests.providers.server import Server, answering_with


async def test_refused_connection_was_not_sent(client: httpx.AsyncClient) -> None:
    with pytest.raises(RequestFailed) as caught:
        await send(client, "POST", "http://127.0.0.1:9/token", data={"a": "b"})
    assert not caught.value.sent


async def test_refused_address_was_not_sent() -> None:
    async with make_client(TargetGuard()) as strict:
        with pytest.raises(RequestFailed) as caught:
            await send(strict, "POST", "http://127.0.0.1:80/", data={"a": "b"})
    assert not caught.value.sent


@pytest.mark.usefixtures("hurried")
async def test_time_spent_before_the_request_is_written_counts_as_not_sent() -> None:
    async def stalled(_: str, __: int) -> list[str]:
        await asyncio.sleep(60)
        return []

    async with make_client(TargetGuard(resolver=stalled)) as waiting:
        with pytest.raises(RequestFailed) as caught:
            await send(waiting, "POST", "https://slow-name.example/token", data={"a": "b"})
    assert not caught.value.sent


@pytest.mark.usefixtures("hurried")
async def test_unfinished_tls_handshake_was_not_sent(client: httpx.AsyncClient) -> None:
    server = Server(answering_with(b"{}"))  # speaks no TLS, and waits for the end of a head that never comes
    async with server as url:
        with pytest.raises(RequestFailed) as caught:
            await send(client, "POST", url.replace("http:", "https:"), data={"a": "b"})
    assert not caught.value.sent and server.connections == 1


@pytest.mark.parametrize(
    "request_parts",
    [
        {"url": "https://planted\n.example/"},
        {"url": "https://xn--planted\u2044.example/"},
        {"url": "https://planted.example:99999/"},
        {"url": "https:///planted"},
        {"url": "ftp://planted.example/"},
        {"url": "planted"},
        {"url": "https://a.example/planted\ud800"},
        {"url": "http://127.0.0.1:9/", "headers": {"x-key": "planted-ü"}},
        {"url": "http://127.0.0.1:9/", "headers": {"x-key": "planted\r\nx-more: 1"}},
        {"url": "http://127.0.0.1:9/", "data": {"key": "planted\ud800"}},
        {"url": "http://127.0.0.1:9/", "auth": ("planted\ud800", "")},
    ],
    ids=ascii,
)
async def test_request_that_cannot_be_written_is_one_typed_error_without_a_word_of_it(
    client: httpx.AsyncClient, request_parts: dict[str, Any]
) -> None:
    with pytest.raises(RequestFailed) as caught:
        await send(client, "POST", request_parts.pop("url"), **request_parts)
    assert not caught.value.sent and "planted" not in repr(caught.value)


@pytest.mark.parametrize(
    "headers",
    [{"x-key": "planted\r\nx-more: 1"}, {"x-key": "planted\0"}, {"x-planted\r\nx-more": "1"}, {"x planted": "1"}],
    ids=ascii,
)
async def test_header_that_cannot_be_written_never_reaches_a_server_that_listens(
    client: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    server = Server(answering_with(b"{}"))
    async with server as url:
        with pytest.raises(RequestFailed) as caught:
            await send(client, "POST", url, data={"a": "b"}, headers=headers)
    assert not caught.value.sent and server.seen == [] and "planted" not in repr(caught.value)


@pytest.mark.usefixtures("hurried")
async def test_black_hole_was_not_sent(client: httpx.AsyncClient) -> None:
    """A full queue of connections: the system answers none further."""
    with ExitStack() as sockets:
        hole = sockets.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(3):
            filler = sockets.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(hole.getsockname())
        began = time.monotonic()
        with pytest.raises(RequestFailed) as caught:
            await send(client, "POST", f"http://127.0.0.1:{hole.getsockname()[1]}/token", data={"a": "b"})
    assert not caught.value.sent and DEADLINE - 0.1 < time.monotonic() - began < 5
