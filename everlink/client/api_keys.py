"""The client's part that concerns API keys."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from everlink.client.transport import Transport, segment
from everlink.contract import KeyScope
from everlink.models import ApiKey, NewApiKey

API_KEYS = "/v1/api-keys"


class ApiKeys:
    """`client.api_keys`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def create(self, name: str, scopes: Iterable[KeyScope], *, expires_at: datetime | None = None) -> NewApiKey:
        """Make a key for this organization and environment. The answer has it, this once."""
        body = {
            "name": name,
            "scopes": list(scopes),
            "expires_at": expires_at.isoformat() if expires_at else None,
        }
        return await self._transport.ask("POST", API_KEYS, NewApiKey, json=body)

    async def all(self) -> list[ApiKey]:
        listed = await self._transport.send("GET", API_KEYS)
        return [ApiKey.model_validate(item) for item in listed]

    async def rotate(self, key_id: str, *, overlap_seconds: int = 86_400) -> NewApiKey:
        """A key in place of this one, which goes on for that long."""
        path = f"{API_KEYS}/{segment(key_id)}/rotate"
        return await self._transport.ask("POST", path, NewApiKey, json={"overlap_seconds": overlap_seconds})

    async def revoke(self, key_id: str) -> None:
        """At once."""
        await self._transport.send("DELETE", f"{API_KEYS}/{segment(key_id)}")
