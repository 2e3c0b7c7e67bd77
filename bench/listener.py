"""A webhook receiver that answers at once and tells when each event came."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

HOST = "127.0.1.1"  # one of those that the bench lets its processes reach
ANSWER = b"HTTP/1.1 204 No Content\r\n\r\n"


@dataclass(frozen=True)
class Arrival:
    event_id: str
    at: float  # by the machine's clock


@dataclass
class Listener:
    """Where the events go that come to `url`, whatever the path."""

    url: str = ""
    arrivals: asyncio.Queue[Arrival] = field(default_factory=asyncio.Queue)


class Connection(asyncio.Protocol):
    """One kept connection: requests one after the other."""

    def __init__(self, listener: Listener) -> None:
        self._listener, self._read = listener, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        now = time.time()
        self._read += data
        while b"\r\n\r\n" in self._read:
            head, _, rest = self._read.partition(b"\r\n\r\n")
            size = int(_header(head, b"content-length"))
            if len(rest) < size:
                return
            self._read = rest[size:]
            self._listener.arrivals.put_nowait(Arrival(_header(head, b"webhook-id").decode(), now))
            self._transport.write(ANSWER)


def _header(head: bytes, name: bytes) -> bytes:
    return head.lower().partition(b"\r\n%s: " % name)[2].split(b"\r\n")[0]


@asynccontextmanager
async def listening() -> AsyncIterator[Listener]:
    listener = Listener()
    server = await asyncio.get_running_loop().create_server(lambda: Connection(listener), HOST, 0, backlog=1000)
    listener.url = f"http://{HOST}:{server.sockets[0].getsockname()[1]}"
    try:
        yield listener
    finally:
        server.close()
