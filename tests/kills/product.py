"""A product that takes its customers' connections through changes of state, whatever dies meanwhile."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from typing import Any
from uuid import uuid4

import httpx

from everlink.contract import ConnectionStatus, EventType
from store.database import utc_now

PAUSE = 0.2  # seconds before it sends a request again
LONGEST_PAUSE = 2.0  # whatever it is asked for
NO_ANSWER = 40.0  # seconds after which it hangs up
RETURNS = (1, 3)  # how often a customer comes back before they leave
FLAGGED = "reauth_required"
SAVE_KEY = "/api/v2/public/linked-account/integration/save-key-credentials/sandbox-key"


class ChangeRefused(Exception):
    """The API refused what it should have done."""


@dataclass
class Product:
    """All of its customers hold the same key; each is a linked account, and so a connection, of its own."""

    http: httpx.AsyncClient
    random: Random
    key: str
    changes: int  # to make in all
    begun: int = 0
    made: Counter[EventType] = field(default_factory=Counter)

    async def make_changes(self, at_once: int) -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(at_once):
                group.create_task(self._customers(number))

    async def ask(
        self, method: str, path: str, body: Any = None, *, params: dict[str, str] | None = None, done: str = ""
    ) -> Any:
        """Send a request, under one idempotency key if it is a POST, until it is answered for good.

        `done`: how it is refused where it came through before and the answer was lost.
        """
        headers = {"idempotency-key": uuid4().hex} if method == "POST" else {}
        while True:
            try:
                answer = await self.http.request(
                    method, path, json=body, params=params, headers=headers, timeout=NO_ANSWER
                )
            except httpx.TransportError:
                await asyncio.sleep(PAUSE)
                continue
            if answer.status_code < 500 and "retry-after" not in answer.headers:
                said: Any = answer.json() if answer.content else None
                if not answer.is_success and said["error_code"] != done:
                    raise ChangeRefused(f"{method} {path}: {answer.text}")
                return said
            await asyncio.sleep(min(float(answer.headers.get("retry-after", PAUSE)), LONGEST_PAUSE))

    def _may_change(self) -> bool:
        self.begun += 1
        return self.begun <= self.changes

    async def _customers(self, number: int) -> None:
        """One after the other: each connects, loses access and comes back a few times, and leaves."""
        while self._may_change():
            account = f"customer-{number}-{uuid4().hex[:8]}"
            await self.ask("POST", "/api/v2/public/linked-account", {"account_id": account})
            await self._connect(account, EventType.CREATED)
            connection = await self._connection(account)
            for _ in range(self.random.randint(*RETURNS)):
                if not self._may_change():
                    return
                await self._expire(connection)
                if not self._may_change():
                    return
                await self._connect(account, EventType.REAUTHENTICATED)
            if not self._may_change():
                return
            await self._leave(connection)

    async def _connect(self, account: str, event: EventType) -> None:
        await self.ask("PUT", SAVE_KEY, {"api_key": self.key}, params={"linked_account_id": account})
        self.made[event] += 1

    async def _connection(self, account: str) -> str:
        [only] = (await self.ask("GET", "/v1/connections", params={"linked_account_id": account}))["connections"]
        assert only["status"] == ConnectionStatus.ACTIVE, only
        return str(only["id"])

    async def _expire(self, connection: str) -> None:
        """The provider has told the product so, which passes it on until it sees that it is known."""
        path, event = f"/v1/connections/{connection}", self.random.choice(["revoked", "uninstalled"])
        body = {"event": event, "occurred_at": utc_now().isoformat()}
        report = asyncio.create_task(self.ask("POST", f"{path}/report", body, done=FLAGGED))
        while (await self.ask("GET", path))["status"] != FLAGGED:
            await asyncio.sleep(PAUSE)
        report.cancel()
        with suppress(asyncio.CancelledError):
            await report
        self.made[EventType.EXPIRED] += 1

    async def _leave(self, connection: str) -> None:
        ended = await self.ask("DELETE", f"/v1/connections/{connection}")
        assert ended["status"] == ConnectionStatus.DISCONNECTED, ended
        self.made[EventType.DELETED] += 1
