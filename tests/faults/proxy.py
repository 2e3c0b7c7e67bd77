"""A proxy before a provider that breaks token requests as a test says, and remembers what it saw.

Only refreshes are broken: a customer can connect through it at any time, and a probe passes.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import socket
import struct
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from typing import Self

CLOSE_WITH_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: on, for no time


class Fault(StrEnum):
    """How a token request fails."""

    RESET = "reset"
    DRIP = "drip"  # one byte a second
    BLACK_HOLE = "black hole"  # reads and never answers
    TRUNCATION = "truncation"
    LIMITED = "429"
    LIMITED_FOR_A_SECOND = "429 with Retry-After"
    LIMITED_FOR_EVER = "429 with a huge Retry-After"
    PAGE = "HTML with 200"
    DOWN = "HTML with 503"
    LARGE = "10 MB"
    BOMB = "gzip bomb"

    @property
    def is_slow(self) -> bool:
        """Only the deadline ends it."""
        return self in (Fault.DRIP, Fault.BLACK_HOLE)

    @property
    def is_refusal(self) -> bool:
        """The server says that it has done nothing."""
        return self in (Fault.LIMITED, Fault.LIMITED_FOR_A_SECOND, Fault.LIMITED_FOR_EVER)


class Moment(StrEnum):
    """When it fails."""

    BEFORE = "before"  # the provider never sees the request
    AFTER = "after"  # the provider acted on it, and its answer is lost


@dataclass
class Held:
    """A refresh that the provider has answered; the answer waits here until it is let go."""

    answered: asyncio.Event = field(default_factory=asyncio.Event)
    let_go: asyncio.Event = field(default_factory=asyncio.Event)
    answer: bytes = b""

    @property
    def granted(self) -> dict[str, str]:
        """The tokens that only this proxy has seen so far."""
        granted: dict[str, str] = json.loads(self.answer.partition(b"\r\n\r\n")[2])
        return granted


class Proxy:
    """`async with Proxy(provider) as proxy:` and `proxy.url` in the provider's place."""

    def __init__(self, provider: str = "http://127.0.0.1:9") -> None:
        self._host, port = provider.removeprefix("http://").split(":")
        self._port = int(port)
        self._struck: deque[tuple[Fault, Moment] | Held] = deque()
        self._serving: set[asyncio.Task[None]] = set()
        self.refreshes = 0  # how many were asked of it
        self.probes = 0
        self.seconds: list[float] = []  # how long each broken one lasted until its end was seen here

    def strike(self, fault: Fault, moment: Moment, times: int = 1) -> None:
        """Break the next refreshes."""
        self._struck.extend([(fault, moment)] * times)

    def lift(self) -> None:
        """What comes now is passed on."""
        self._struck.clear()

    def hold(self) -> Held:
        """Let the next refresh reach the provider and keep its answer."""
        held = Held()
        self._struck.append(held)
        return held

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=2**20)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        with suppress(OSError, EOFError, asyncio.CancelledError):
            while True:
                await self._pass_on(await _message(reader), reader, writer)
        self._serving.discard(task)
        writer.close()

    async def _pass_on(self, request: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.probes += request.startswith(b"GET /api/me ")
        is_refresh = b"grant_type=refresh_token" in request
        self.refreshes += is_refresh
        struck = self._struck.popleft() if is_refresh and self._struck else None
        if isinstance(struck, tuple):
            fault, moment = struck
            if moment is Moment.AFTER:
                await self._ask(request)
            begun = time.monotonic()
            with suppress(OSError):  # the client had enough
                await _break(fault, reader, writer)
            self.seconds.append(time.monotonic() - begun)
            raise EOFError
        answer = await self._ask(request)
        if struck is not None:
            struck.answer = answer
            struck.answered.set()
            await struck.let_go.wait()
        writer.write(answer)
        await writer.drain()

    async def _ask(self, request: bytes) -> bytes:
        """The provider's answer, whole."""
        reader, writer = await asyncio.open_connection(self._host, self._port, limit=2**20)
        try:
            writer.write(request)
            await writer.drain()
            return await _message(reader)
        finally:
            writer.close()


async def _message(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: (\d+)", head)
    return head + (await reader.readexactly(int(length[1])) if length else b"")


async def _break(fault: Fault, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    match fault:
        case Fault.RESET:
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, CLOSE_WITH_RESET)
        case Fault.BLACK_HOLE:
            await reader.read()
        case Fault.DRIP:
            await _drip(_answer(b'{"access_token": "' + b"x" * 200), reader, writer)
        case _:
            writer.write(_said(fault))
            await writer.drain()


async def _drip(answer: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A byte a second, until the client has enough of it."""
    gone = asyncio.create_task(reader.read())
    for byte in answer:
        writer.write(bytes([byte]))
        done, _ = await asyncio.wait([gone], timeout=1)
        if done:
            return
    gone.cancel()


def _answer(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    named = any(header.startswith("content-type") for header in headers)
    lines = [f"HTTP/1.1 {status}", *headers, *([] if named else ["content-type: application/json"])]
    return "\r\n".join([*lines, f"content-length: {len(body)}", "", ""]).encode() + body


def _huge(size: int) -> bytes:
    """What would be a good answer, if anybody read all of it."""
    return b'{"access_token": "x", "more": [0' + b",0" * (size // 2) + b"]}"


HTML = b"<!doctype html><title>Down for maintenance</title>"


@cache
def _said(fault: Fault) -> bytes:
    match fault:
        case Fault.TRUNCATION:
            return _answer(b'{"access_token": "half", "refresh_token": "and the rest"}')[:-20]
        case Fault.LIMITED:
            return _answer(b"{}", "429 Too Many Requests")
        case Fault.LIMITED_FOR_A_SECOND:
            return _answer(b"{}", "429 Too Many Requests", "retry-after: 1")
        case Fault.LIMITED_FOR_EVER:
            return _answer(b"{}", "429 Too Many Requests", f"retry-after: {10**30}")
        case Fault.PAGE:
            return _answer(HTML, "200 OK", "content-type: text/html")
        case Fault.DOWN:
            return _answer(HTML, "503 Service Unavailable", "content-type: text/html")
        case Fault.LARGE:
            return _answer(_huge(10_000_000))
        case Fault.BOMB:
            return _answer(gzip.compress(_huge(100_000_000)), "200 OK", "content-encoding: gzip")
    raise AssertionError(f"{fault} says nothing")
