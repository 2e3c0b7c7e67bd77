"""A server that behaves as a test says, and remembers what it was sent."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from ssl import SSLContext

Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"


class Server:
    """`async with Server(behaviour) as url`. The behaviour answers the requests of one connection, in turn."""

    def __init__(self, *behaviours: Behaviour, tls: SSLContext | None = None) -> None:
        self._behaviours = behaviours
        self._tls = tls
        self.connections = 0
        self.seen: list[bytes] = []

    async def __aenter__(self) -> str:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        self.port = int(self._server.sockets[0].getsockname()[1])
        return f"http://127.0.0.1:{self.port}/token"

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with suppress(OSError, EOFError):
            for behaviour in self._behaviours:
                self.seen.append(await _request(reader))
                await behaviour(reader, writer)
        writer.close()


async def _request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: (\d+)", head)
    return head + (await reader.readexactly(int(length[1])) if length else b"")


def answering(raw: bytes) -> Behaviour:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(raw)
        await writer.drain()

    return answer


def answering_with(body: bytes, head: bytes = HEAD) -> Behaviour:
    return answering(head + b"content-length: %d\r\n\r\n" % len(body) + body)


async def abort(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()
