"""A product's webhook receiver that fails half of the time, and remembers all that it was ever sent."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random
from types import TracebackType
from typing import Self

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

SLOW = 2.0  # seconds


class Answer(StrEnum):
    """What a request meets. Each but the first is a failure to whoever sent it."""

    TAKEN = "taken"
    ERROR = "500"
    LATER = "503, retry after a second"
    REDIRECT = "302"
    SLOW_ERROR = "500 after two seconds"
    CUT = "taken, and cut off instead of answered"
    RESET = "reset before it was read"


FAILURES = [answer for answer in Answer if answer is not Answer.TAKEN]
HEADS = {
    Answer.TAKEN: "204 No Content",
    Answer.ERROR: "500 Internal Server Error",
    Answer.LATER: "503 Service Unavailable\r\nRetry-After: 1",
    Answer.REDIRECT: "302 Found\r\nLocation: http://127.0.0.1:1/",
    Answer.SLOW_ERROR: "500 Internal Server Error",
}


@dataclass(frozen=True)
class Arrival:
    """One request, as it was read."""

    id: str
    sent_at: int  # its webhook-timestamp
    body: bytes
    verified: bool
    answer: Answer


@dataclass
class Listener:
    """`async with Listener(random) as listener:` listens on a free port; each endpoint has a path of its own."""

    random: Random
    secrets: dict[str, str] = field(default_factory=dict)  # by path
    arrivals: dict[str, list[Arrival]] = field(default_factory=dict)
    answered: Counter[Answer] = field(default_factory=Counter)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):  # who sent it was killed
            await self._answer(reader, writer)
        writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answer = self.random.choice(FAILURES) if self.random.random() < 0.5 else Answer.TAKEN
        self.answered[answer] += 1
        if answer is Answer.RESET:
            writer.transport.abort()
            return
        lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        body = await reader.readexactly(int(headers["content-length"]))
        self._keep(lines[0].split()[1], headers, body, answer)
        if answer is Answer.CUT:
            writer.transport.abort()
            return
        if answer is Answer.SLOW_ERROR:
            await asyncio.sleep(SLOW)
        writer.write(f"HTTP/1.1 {HEADS[answer]}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
        await writer.drain()

    def _keep(self, path: str, headers: Mapping[str, str], body: bytes, answer: Answer) -> None:
        try:
            Webhook(self.secrets[path]).verify(body, dict(headers))
            verified = True
        except WebhookVerificationError:
            verified = False
        arrival = Arrival(headers["webhook-id"], int(headers["webhook-timestamp"]), body, verified, answer)
        self.arrivals.setdefault(path, []).append(arrival)
