"""The API as a typed client: `async with Client(url, api_key) as everlink: ...`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from types import TracebackType
from typing import Self

import httpx

from everlink.client.api_keys import ApiKeys
from everlink.client.applications import Applications
from everlink.client.catalog import Catalog
from everlink.client.connect_sessions import ConnectSessions
from everlink.client.connections import Connections
from everlink.client.deliveries import Deliveries
from everlink.client.events import Events
from everlink.client.linked_accounts import LinkedAccounts
from everlink.client.replays import Replays
from everlink.client.settings import Settings
from everlink.client.transport import Transport, segment
from everlink.client.webhook_endpoints import WebhookEndpoints
from everlink.models import Removal

__all__ = ["Client"]


class Client:
    """Everlink for one organization and environment, as the API key decides.

    Keep one for the life of the process: it keeps connections to the API open. What fails for a moment is tried
    again, also POSTs, which carry idempotency keys.

    Args:
        url: where the API is, e.g. `https://everlink.internal`.
        api_key: `tk_...` or `pk_...`.
        timeout: seconds for one request; a refresh that the API waits for takes up to 30.
        http: your own `httpx.AsyncClient` (proxies, certificates); the caller closes it.

    Every method raises `EverlinkError`, or one of its kinds: `NotFound`, `Unavailable`, `ReauthRequired`.
    """

    def __init__(self, url: str, api_key: str, *, timeout: float = 40.0, http: httpx.AsyncClient | None = None) -> None:
        self._transport = Transport(url, api_key, timeout, http)
        self.linked_accounts = LinkedAccounts(self._transport)
        self.connections = Connections(self._transport)
        self.connect_sessions = ConnectSessions(self._transport)
        self.applications = Applications(self._transport)
        self.catalog = Catalog(self._transport)
        self.webhook_endpoints = WebhookEndpoints(self._transport)
        self.deliveries = Deliveries(self._transport)
        self.events = Events(self._transport)
        self.replays = Replays(self._transport)
        self.api_keys = ApiKeys(self._transport)
        self.settings = Settings(self._transport)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        await self._transport.close()

    async def removal(self, removal_id: str) -> Removal:
        """How far a removal is, of an application, a linked account or everything."""
        return await self._transport.get(f"/v1/removals/{segment(removal_id)}", Removal)

    def export(self) -> AsyncIterator[str]:
        """All that Everlink keeps of this environment, without secrets, as lines of JSON."""
        return self._transport.lines("/v1/export")

    async def erase(self, org_id: str) -> Removal:
        """Disconnect everything in this environment and forget it, this API key included."""
        return await self._transport.ask("POST", "/v1/erase", Removal, json={"org_id": org_id})
