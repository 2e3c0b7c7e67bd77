"""Only of this example, no part of a product: the customer who revokes access, and what a newcomer tries next."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum

import httpx

from everlink.contract import EventType
from examples.product.integrations import Integration
from examples.product.webhooks import Received

ADA = ("ada", "ada-password")  # the customer's account at the sandbox


class Step(IntEnum):
    """Where a newcomer is."""

    CONNECT = 1
    REVOKE = 2
    NOTICE = 3
    RECONNECT = 4
    DONE = 5


class Story:
    def __init__(self) -> None:
        self._is_revoked = False

    async def revoke(self, provider: httpx.AsyncClient) -> None:
        """What the customer does in the provider's own settings. Neither Everlink nor the product is told."""
        (await provider.post("/control/revoke", auth=ADA)).raise_for_status()
        self._is_revoked = True

    def step(self, integrations: Iterable[Integration], received: Iterable[Received]) -> Step:
        if any(one.broken for one in integrations):
            self._is_revoked = False  # it was noticed
            return Step.RECONNECT
        if not any(one.connections for one in integrations):
            return Step.CONNECT
        if self._is_revoked:
            return Step.NOTICE
        latest = next(iter(received), None)
        return Step.DONE if latest and latest.event["event"] == EventType.REAUTHENTICATED else Step.REVOKE
