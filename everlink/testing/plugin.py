"""The plugin as a test's worker has it: the real one, told of its connections by the test."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

import httpx
from temporalio import activity

from everlink.client import Client
from everlink.plugin import EverlinkPlugin, Wait
from everlink.plugin.checking import AWAIT_ACTIVE, Checking
from everlink.plugin.vending import Vending
from everlink.testing.connection import FakeConnection

# Between looks: each pause is twice as long as the one before. So a reconnect is seen soon where time passes by itself,
# and days are skipped in few looks where it does not.
FIRST_PAUSE = timedelta(seconds=0.1)
LONGEST_PAUSE = timedelta(hours=1)
DOUBLED = 16  # times that it takes from one to the other


class FakePlugin(EverlinkPlugin):
    def __init__(
        self, url: str, http: httpx.AsyncClient, connections: Mapping[str, FakeConnection], wait: Wait
    ) -> None:
        super().__init__(url, "tk_fake", http=http, wait=wait)
        self._checking = _Looking(self._client, connections)

    @property
    def vending(self) -> Vending:
        return self._activities.vending


class _Looking(Checking):
    def __init__(self, client: Client, connections: Mapping[str, FakeConnection]) -> None:
        super().__init__(client, FIRST_PAUSE)
        self._connections = connections

    @activity.defn(name=AWAIT_ACTIVE)
    async def await_active(self, connection_id: str) -> str:
        try:
            return await super().await_active(connection_id)
        finally:
            if connection_id in self._connections:
                self._connections[connection_id].waited_for()

    def _pause(self) -> timedelta:
        doubled: int = 2 ** min(activity.info().attempt - 1, DOUBLED)
        return min(FIRST_PAUSE * doubled, LONGEST_PAUSE)
