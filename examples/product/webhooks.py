"""What Everlink tells this product: verified, taken once, and passed on to the pages that are open."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

KEPT = 50


@dataclass(frozen=True)
class Received:
    id: str  # the same however often the event is delivered
    at: datetime
    event: dict[str, Any]


class Inbox:
    """The webhooks of one customer. A product keeps them in its database; this one forgets."""

    def __init__(self, secret: str, customer: str) -> None:
        self.received: deque[Received] = deque(maxlen=KEPT)  # the newest first
        self._webhook = Webhook(secret)
        self._customer = customer
        self._is_closed = False
        self._changes = 0
        self._changed = asyncio.Condition()

    async def take(self, body: bytes, headers: Mapping[str, str]) -> bool:
        """False where it is not from Everlink, or old."""
        try:
            event = self._webhook.verify(body, dict(headers))
        except (WebhookVerificationError, ValueError):  # the latter for what is no signature at all
            return False
        received = Received(headers["webhook-id"], datetime.now(), event)
        known = any(one.id == received.id for one in self.received)
        if event.get("linked_account_id") == self._customer and not known:
            self.received.appendleft(received)
            await self.tell()
        return True

    async def tell(self) -> None:
        """Something has changed that pages show."""
        async with self._changed:
            self._changes += 1
            self._changed.notify_all()

    async def close(self) -> None:
        """Nobody is told any more."""
        self._is_closed = True
        await self.tell()

    async def changes(self) -> AsyncIterator[int]:
        """Now, and then whenever something has changed."""
        while not self._is_closed:
            yield (seen := self._changes)
            async with self._changed:
                while self._changes == seen:
                    await self._changed.wait()
