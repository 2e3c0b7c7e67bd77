"""Requests are bounded in time and bytes, whatever the server does, and leave nothing for the next one."""

from __future__ import annotations

import asyncio
import gzip
import sys

import httpx
import pytest

from dev.config import ROOT
from providers.guard import GuardedTransport, TargetGuard
from providers.http import MAX_BYTES, Answer, RequestFailed, send
from tests.providers.server import HEAD, Behaviour, Server, abort, answering, answering_with


async def failing(client: httpx.AsyncClient, *behaviours: Behaviour) -> RequestFailed:
    async with Server(*behaviours) as url:
        with pytest.raises(RequestFailed) as caught:
            await asyncio.wait_for(send(client, "POST", url, data={"refresh_token": "planted"}), 5)
    assert "planted" not in repr(caught.value)
    return caught.value


def dripping(start: bytes, drop: bytes) -> Behaviour:
    async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(start)
        for _ in range(400):
            writer.write(drop)
            await writer.drain()
            await asyncio.sleep(0.02)

    return drip


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize(
    "behaviour",
    [
        dripping(HEAD + b"content-length: 1000\r\n\r\n", b"x"),
        dripping(HEAD + b"transfer-encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
        dripping(HEAD + b"\r\n", b" "),
        dripping(HEAD, b"x-more: and more\r\n"),
        dripping(b"", b"HTTP/1.1 102 Processing\r\n\r\n"),
        dripping(b"HTTP/1.1 20", b"0"),
        dripping(b"", b""),
    ],
    ids=["body", "chunks", "body without a length", "headers", "informational", "status line", "nothing at all"],
)
async def test_dripped_answer_is_cut_at_the_deadline(client: httpx.AsyncClient, behaviour: Behaviour) -> None:
    assert (await failing(client, behaviour)).sent


@pytest.mark.parametrize(
    "behaviour",
    [
        abort,
        answering(b""),
        answering(b"SSH-2.0-OpenSSH_9.2\r\n"),
        answering(HEAD + b'content-length: 1000\r\n\r\n{"access_token": "x'),
        answering(HEAD + b'transfer-encoding: chunked\r\n\r\n13\r\n{"access_token": "x'),
        answering(HEAD + b"content-length: -1\r\n\r\n{}"),
        answering(HEAD + b"content-length: 2\r\ncontent-length: 5\r\n\r\n{}..."),
        answering(HEAD + b"x-large: " + b"x" * 300_000 + b"\r\n\r\n"),
    ],
    ids=["reset", "closed", "not HTTP", "cut", "chunk cut", "bad length", "two lengths", "huge header"],
)
async def test_broken_answer_is_none_and_the_request_may_have_been_acted_on(
    client: httpx.AsyncClient, behaviour: Behaviour
) -> None:
    assert (await failing(client, behaviour)).sent


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
    assert 0 < sent < 20 * 1024 * 1024  # what the sockets between hold


async def test_answer_of_the_greatest_size_is_read_and_one_byte_more_is_not(client: httpx.AsyncClient) -> None:
    async with Server(answering_with(b"x" * MAX_BYTES)) as url:
        assert len((await send(client, "GET", url)).body) == MAX_BYTES
    assert (await failing(client, answering_with(b"x" * (MAX_BYTES + 1)))).sent


MEASURED = """
import asyncio, resource, sys
from providers.guard import TargetGuard
from providers.http import make_client, send

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

async def main(url):
    async with make_client(TargetGuard(["127.0.0.1"])) as client:
        before = peak()
        answer = await send(client, "GET", url)
        print(len(answer.body), answer.json, peak() - before)

asyncio.run(main(sys.argv[1]))
"""


async def test_gzip_bomb_is_not_inflated() -> None:
    """Measured in a process of its own: tracing memory here crashes beside the native threads of other tests."""
    bomb = gzip.compress(b"0" * 100_000_000)
    async with Server(answering_with(bomb, HEAD + b"content-encoding: gzip\r\n")) as url:
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", MEASURED, url, cwd=ROOT, stdout=asyncio.subprocess.PIPE
        )
        size, value, grown_kib = (await child.communicate())[0].split()
    assert (int(size), value) == (len(bomb), b"None")
    assert int(grown_kib) < 10_000


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirect_is_not_followed_and_the_secret_not_sent_again(client: httpx.AsyncClient, status: int) -> None:
    thief = Server(answering_with(b""))
    async with thief as elsewhere:
        redirect = answering(f"HTTP/1.1 {status} X\r\nlocation: {elsewhere}\r\ncontent-length: 0\r\n\r\n".encode())
        async with Server(redirect) as url:
            assert (await send(client, "POST", url, data={"refresh_token": "planted"})).status == status
    assert thief.connections == 0


async def test_request_on_a_kept_connection_that_breaks_is_not_sent_again(client: httpx.AsyncClient) -> None:
    server = Server(answering_with(b"{}"), abort)
    async with server as url:
        await send(client, "POST", url, data={"n": "1"})
        with pytest.raises(RequestFailed) as caught:
            await send(client, "POST", url, data={"n": "2"})
    assert caught.value.sent and (server.connections, len(server.seen)) == (1, 2)


async def test_cookie_of_one_answer_is_not_told_with_the_next_request(client: httpx.AsyncClient) -> None:
    """One client serves all tenants: what a provider says to one is not said back for another."""
    server = Server(answering_with(b"{}", HEAD + b"set-cookie: session=planted; path=/\r\n"), answering_with(b"{}"))
    async with server as url:
        for _ in range(2):
            await send(client, "POST", url, data={"a": "b"})
    assert len(server.seen) == 2 and b"planted" not in server.seen[1]


async def test_connection_that_the_server_closed_meanwhile_is_made_anew(client: httpx.AsyncClient) -> None:
    server = Server(answering_with(b"{}"))
    async with server as url:
        for _ in range(2):
            assert (await send(client, "POST", url, data={"a": "b"})).status == 200
            await asyncio.sleep(0.05)
    assert (server.connections, len(server.seen)) == (2, 2)


async def test_proxy_of_the_environment_is_ignored(client: httpx.AsyncClient) -> None:
    async with Server(answering_with(b'{"a": 1}')) as url:
        assert (await send(client, "GET", url)).json == {"a": 1}


async def test_answer_does_not_show_its_body_or_headers(client: httpx.AsyncClient) -> None:
    async with Server(answering_with(b'{"a": "planted"}', HEAD + b"x-a: planted\r\n")) as url:
        assert "planted" not in repr(await send(client, "GET", url))


async def test_guarded_transport_takes_no_proxy_either(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    transport = GuardedTransport(TargetGuard(["127.0.0.1"]))
    async with Server(answering_with(b"{}")) as url, httpx.AsyncClient(transport=transport) as bare:
        assert (await bare.get(url)).status_code == 200


def test_what_json_has_no_number_for_is_null_and_loses_no_grant() -> None:
    body = b'{"access_token": "new", "a": NaN, "b": -Infinity, "c": 1e999, "d": [1.5, 7]}'
    kept = Answer(200, httpx.Headers(), body).json
    assert kept == {"access_token": "new", "a": None, "b": None, "c": None, "d": [1.5, 7]}
