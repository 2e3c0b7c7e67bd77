"""Everlink's API as far as a wait needs it: how connections are. The whole one is tried in test_whole.py."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

from everlink.contract import ConnectionStatus, ReauthReason


class Api:
    """Answers `GET /v1/connections/{id}` on a port of its own, and counts what it was asked."""

    def __init__(self) -> None:
        self.statuses: dict[str, ConnectionStatus] = {}
        self.asked: list[str] = []
        self.url = ""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        connection_id = head.split()[1].rsplit("/", 1)[1]
        self.asked.append(connection_id)
        status = self.statuses.get(connection_id)
        code = "404 Not Found" if status is None else "200 OK"
        body = json.dumps({} if status is None else _connection(connection_id, status)).encode()
        writer.write(f"HTTP/1.1 {code}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n".encode() + body)
        await writer.drain()
        writer.close()


def _connection(connection_id: str, status: ConnectionStatus) -> dict[str, Any]:
    dead = status is ConnectionStatus.REAUTH_REQUIRED
    return {
        "id": connection_id,
        "linked_account_id": "acme",
        "slug": "slack",
        "identifier": "T1",
        "display_name": None,
        "auth_type": "oauth2",
        "status": status,
        "health": "ok",
        "reason": ReauthReason.ACCESS_REVOKED if dead else None,
        "status_since": datetime(2026, 11, 30, 7, tzinfo=UTC).isoformat(),
        "connected_at": None,
        "sequence": 1,
        "workflow_url": "",
    }
