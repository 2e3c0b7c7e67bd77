"""The client's part that concerns the page where customers connect and reconnect."""

from __future__ import annotations

from collections.abc import Sequence

from everlink.client.transport import Transport
from everlink.models import ConnectSession


class ConnectSessions:
    """`client.connect_sessions`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def create(
        self,
        linked_account_id: str,
        *,
        applications: Sequence[str] = (),
        return_url: str | None = None,
        embed_origin: str | None = None,
        locale: str | None = None,
    ) -> ConnectSession:
        """A link to the page of a customer: it opens once, within a quarter of an hour.

        Args:
            linked_account_id: whose page it is.
            applications: what it shows; nothing: everything.
            return_url: where the customer goes in the end, one of the settings' `return_urls`.
            embed_origin: the origin of the page that frames it, one of the settings' `allowed_origins`.
            locale: its language; None: as the browser asks.
        """
        given = {
            "linked_account_id": linked_account_id,
            "applications": list(applications),
            "return_url": return_url,
            "embed_origin": embed_origin,
            "locale": locale,
        }
        return await self._transport.ask("POST", "/v1/connect-sessions", ConnectSession, json=given)
