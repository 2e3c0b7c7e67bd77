"""How much and how often: refused in the one shape, with a time to come back, and nobody else is kept waiting."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import httpx
import pytest

from api.inputs import MAX_BODY_BYTES
from api.limits import FAILURE_COST, MAX_HEADER_BYTES, RateLimits
from dev.config import ROOT
from store.settings import Settings
from tests.api.conftest import Everlink, running, settings_for
from tests.api.test_promises import is_error

Start = Callable[..., AbstractAsyncContextManager[Everlink]]


@pytest.fixture
def start(sqlite_url: str, tmp_path: Path) -> Start:
    """An API with limits of its own."""

    @asynccontextmanager
    async def started(**limits: str) -> AsyncIterator[Everlink]:
        settings = settings_for(sqlite_url, tmp_path, "http://127.0.0.1:9", "127.0.0.1:9")
        async with running(settings.model_copy(update=limits), "", worker=False) as everlink:
            yield everlink

    return started


def is_refused(answer: httpx.Response) -> bool:
    return (
        answer.status_code == 429
        and is_error(answer)
        and answer.json()["error_code"] == "too_many_requests"
        and 1 <= int(answer.headers["retry-after"]) <= 3600
    )


async def test_each_key_has_a_rate_of_its_own(start: Start) -> None:
    async with start(key_rate_limit="10/hour") as everlink:
        one, other = await everlink.product(), await everlink.product("Other")
        while (answer := await one.get("/v1/connections")).status_code == 200:
            pass
        assert is_refused(answer)
        assert is_refused(await one.get("/v1/applications"))
        assert (await other.get("/v1/connections")).status_code == 200
        assert (await one.get("/healthz")).status_code == (await one.get("/readyz")).status_code == 200


async def test_refused_keys_count_against_their_address(start: Start) -> None:
    async with start(address_rate_limit=f"{3 * FAILURE_COST}/hour") as everlink:
        product = await everlink.product()
        statuses = [
            (await product.get("/v1/connections", headers={"x-api-key": f"tk_{number}_guessed"})).status_code
            for number in range(4)
        ]
        assert statuses == [401, 401, 401, 429]
        assert is_refused(await product.get("/v1/connections"))
        assert (await product.get("/healthz")).status_code == 200


async def test_forged_events_count_against_their_address(start: Start) -> None:
    async with start(address_rate_limit=f"{3 * FAILURE_COST}/hour") as everlink:
        url = (await (await everlink.product()).get("/v1/applications/sandbox")).json()["events_url"]
        async with httpx.AsyncClient() as forger:
            statuses = [(await forger.post(url, json={"event": "revoked"})).status_code for _ in range(4)]
    assert statuses == [401, 401, 401, 429]


@pytest.mark.parametrize("proxies", ["127.0.0.1", "10.0.0.0/8, 127.0.0.0/8"])
async def test_addresses_behind_a_named_proxy_are_told_apart(start: Start, proxies: str) -> None:
    limits = {"address_rate_limit": "2/hour", "trusted_proxies": proxies}
    async with start(**limits) as everlink, httpx.AsyncClient(base_url=everlink.url) as proxy:
        for customer in ("203.0.113.1", "203.0.113.2"):
            forwarded = {"x-forwarded-for": f"198.51.100.{customer[-1]}, {customer}"}  # the first is only claimed
            statuses = [(await proxy.get("/v1/connections", headers=forwarded)).status_code for _ in range(2)]
            assert statuses == [401, 429]


async def test_nobody_chooses_an_address_by_a_header(start: Start) -> None:
    async with start(address_rate_limit="2/hour") as everlink, httpx.AsyncClient(base_url=everlink.url) as liar:
        statuses = [
            (await liar.get("/v1/connections", headers={"x-forwarded-for": f"203.0.113.{number}"})).status_code
            for number in range(3)
        ]
        assert statuses == [401, 429, 429]


def test_a_crowd_of_a_thousand_is_within_the_defaults() -> None:
    limits = RateLimits(Settings())
    for _ in range(1000):
        limits.count_address("127.0.0.1")
        limits.count_caller("key")


@pytest.mark.parametrize("name", ["EVERLINK_KEY_RATE_LIMIT", "EVERLINK_ADDRESS_RATE_LIMIT"])
def test_rate_that_is_none_is_told_at_the_start(tmp_path: Path, name: str) -> None:
    environment = {"PATH": os.environ["PATH"], "EVERLINK_DEV": "1", "EVERLINK_STATE_DIR": str(tmp_path), name: "often"}
    command = [sys.executable, "-m", "api"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1 and name in done.stderr


def account(size: int) -> bytes:
    """A body of that many bytes."""
    body = json.dumps({"account_id": "large", "udf": {"a": ""}}).encode()
    return body[:-3] + b"x" * (size - len(body)) + body[-3:]


async def in_parts(content: bytes) -> AsyncIterator[bytes]:
    """The same without its length."""
    for start in range(0, len(content), 100_000):
        yield content[start : start + 100_000]


@pytest.mark.parametrize("declared", [True, False], ids=["declared", "chunked"])
async def test_body_is_bounded(product: httpx.AsyncClient, declared: bool) -> None:
    # The largest body is read, and refused for what is in it.
    for size, status in ((MAX_BODY_BYTES, 422), (MAX_BODY_BYTES + 1, 413), (3 * MAX_BODY_BYTES, 413)):
        content = account(size) if declared else in_parts(account(size))
        headers = {"content-type": "application/json"}
        answer = await product.post("/api/v2/public/linked-account", content=content, headers=headers)
        assert answer.status_code == status
        if status == 413:
            assert is_error(answer) and answer.json()["error_code"] == "body_too_large"


async def test_body_is_refused_before_it_is_sent(everlink: Everlink) -> None:
    answer = await ask(everlink, f"POST /v1/api-keys HTTP/1.1\r\nhost: a\r\ncontent-length: {10**15}\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 413 ") and b"body_too_large" in answer


@pytest.mark.parametrize("request_line", [b"GET /v1/connections?%s HTTP/1.1", b"GET / HTTP/1.1\r\nx-long: %s"])
async def test_address_and_headers_are_bounded(everlink: Everlink, request_line: bytes) -> None:
    head = request_line % (b"x" * MAX_HEADER_BYTES) + b"\r\nhost: a\r\nconnection: close\r\n\r\n"
    answer = await ask(everlink, head)
    assert answer.startswith(b"HTTP/1.1 431 ") and b"headers_too_large" in answer


async def test_headers_without_end_are_answered_too(everlink: Everlink) -> None:
    endless = b"GET / HTTP/1.1\r\nhost: a\r\n" + b"x-long: " + b"x" * (3 * MAX_HEADER_BYTES)
    assert (await ask(everlink, endless)).startswith(b"HTTP/1.1 400 ")
    async with httpx.AsyncClient(base_url=everlink.url) as client:
        assert (await client.get("/healthz")).status_code == 200


async def ask(everlink: Everlink, request: bytes) -> bytes:
    """What comes back until the server closes or has nothing more to say."""
    reader, writer = await asyncio.open_connection("127.0.0.1", everlink.made.settings.port)
    writer.write(request)
    async with asyncio.timeout(20):
        head = await reader.readuntil(b"\r\n\r\n")
        body = await reader.read(10_000)
    writer.close()
    return head + body
