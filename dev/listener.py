"""A product's webhook receiver: verifies each event with the `standardwebhooks` package and keeps it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import httpx
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

EVENTS = [
    "Connection Created",
    "Connection Expired",
    "Connection Deleted",
    "Connection Reauthenticated",
    "Application Refused",
    "Application Accepted",
    "Connection Degraded",
    "Connection Recovered",
]


class Listener:
    """`async with Listener() as listener:` listens on a free port of this machine."""

    def __init__(self) -> None:
        self.received: list[dict[str, Any]] = []
        self.ids: list[str] = []
        self.refused = 0
        self.failing = False  # answers 500 while it is set
        self._secret = ""
        self._arrived = asyncio.Condition()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}/everlink"
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.close()

    async def subscribe(self, api: httpx.AsyncClient, headers: Mapping[str, str] | None = None) -> str:
        """Register with the API and keep the secret that it shows once; answers the endpoint's id."""
        endpoint = {"url": self.url, "events": EVENTS, "headers": dict(headers or {})}
        response = await api.post("/v1/webhook-endpoints", json=endpoint)
        response.raise_for_status()
        created = response.json()
        self.trust(created["secret"])
        return str(created["id"])

    def trust(self, secret: str) -> None:
        """What its endpoint's events are signed with."""
        self._secret = secret

    async def wait_for(self, event: str, slug: str, account: str | None, seconds: float = 20) -> dict[str, Any]:
        """The first verified event of this name for this application and account; None: the application's own."""

        def found() -> dict[str, Any] | None:
            wanted = (event, slug, account)
            return next((body for body in self.received if _key(body) == wanted), None)

        async with self._arrived, asyncio.timeout(seconds):
            await self._arrived.wait_for(lambda: found() is not None)
        body = found()
        assert body is not None
        return body

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        lines = head.split("\r\n")[1:]
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        status = "204 No Content" if await self._take(body, headers) else "500 Internal Server Error"
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
        await writer.drain()
        writer.close()

    async def _take(self, body: bytes, headers: Mapping[str, str]) -> bool:
        try:
            Webhook(self._secret).verify(body, dict(headers))
        except (WebhookVerificationError, ValueError):
            self.refused += 1
            return False
        if self.failing:
            return False
        async with self._arrived:
            self.received.append(json.loads(body))
            self.ids.append(headers["webhook-id"])
            self._arrived.notify_all()
        return True


def _key(body: dict[str, Any]) -> tuple[str, str, str | None]:
    return body["event"], body["slug"], body.get("linked_account_id")
