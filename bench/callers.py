"""Callers that read as fast as they are answered, in a process of their own: `python -m bench.callers`.

Raw HTTP over kept connections, each with one request under way, so that the server is what is measured. It answers
each line on its standard input, a JSON `Load`, by one of what the callers saw, and ends with the input.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import asdict, dataclass
from itertools import cycle
from statistics import quantiles


@dataclass(frozen=True)
class Load:
    """What is read, and by how many at a time."""

    port: int
    paths: list[str]
    headers: dict[str, str]
    callers: int
    seconds: float


@dataclass(frozen=True)
class Seen:
    reads_per_second: float
    p50_ms: float
    p99_ms: float
    not_200: int


class Caller(asyncio.Protocol):
    """One kept connection that asks again as soon as it is answered."""

    def __init__(self, requests: list[bytes], first: int, until: float) -> None:
        self._requests = cycle(requests[first:] + requests[:first])
        self._until = until
        self._read = b""
        self.took: list[float] = []
        self.not_200 = 0
        self.ended = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._ask()

    def data_received(self, data: bytes) -> None:
        self._read += data
        head, end, body = self._read.partition(b"\r\n\r\n")
        if not end or len(body) < int(head.partition(b"content-length: ")[2].split(b"\r\n", 1)[0]):
            return
        now = time.perf_counter()
        self.took.append(now - self._asked)
        self.not_200 += not head.startswith(b"HTTP/1.1 200")
        self._read = b""
        if now < self._until:
            self._ask()
        else:
            self._transport.close()
            self.ended.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_exception(error or ConnectionError("the server closed a connection"))

    def _ask(self) -> None:
        self._asked = time.perf_counter()
        self._transport.write(next(self._requests))


async def put(load: Load) -> Seen:
    """Put this load on a server."""
    headers = "".join(f"{name}: {value}\r\n" for name, value in {"host": "bench", **load.headers}.items())
    requests = [f"GET {path} HTTP/1.1\r\n{headers}\r\n".encode() for path in load.paths]
    loop, started = asyncio.get_running_loop(), time.perf_counter()
    callers = []
    for number in range(load.callers):
        caller = Caller(requests, number * len(requests) // load.callers, started + load.seconds)
        await loop.create_connection(lambda made=caller: made, "127.0.0.1", load.port)  # type: ignore[misc]
        callers.append(caller)
    await asyncio.gather(*(caller.ended for caller in callers))
    seconds = time.perf_counter() - started
    took = [one for caller in callers for one in caller.took]
    cuts = quantiles(took, n=100)
    return Seen(len(took) / seconds, 1000 * cuts[49], 1000 * cuts[98], sum(caller.not_200 for caller in callers))


async def main() -> None:
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        print(json.dumps(asdict(await put(Load(**json.loads(line))))), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
