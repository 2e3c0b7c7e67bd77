"""The client's part that concerns the customers: who they are, what they connect."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import Any

from everlink.client.transport import Transport, segment
from everlink.models import Connected, ConnectLink, LinkedAccount, LinkedAccountPage, Removal, SessionToken

LINKED_ACCOUNTS = "/v1/linked-accounts"
SEED = "/api/v2/public"
INTEGRATION = f"{SEED}/linked-account/integration"


class LinkedAccounts:
    """`client.linked_accounts`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def save(self, account_id: str, *, name: str | None = None, udf: Mapping[str, Any] | None = None) -> None:
        """Make a customer known under your own id, or change what is known of them."""
        given = {"account_id": account_id, "name": name, "udf": udf}
        body = {key: value for key, value in given.items() if value is not None}
        await self._transport.send("POST", f"{SEED}/linked-account", json=body)

    async def all(self) -> AsyncIterator[LinkedAccount]:
        """All customers, page by page as they are asked for."""
        cursor: str | None = None
        while True:
            page = await self._transport.get(LINKED_ACCOUNTS, LinkedAccountPage, {"cursor": cursor})
            for account in page.linked_accounts:
                yield account
            cursor = page.next_cursor
            if cursor is None:
                return

    async def get(self, account_id: str) -> LinkedAccount:
        return await self._transport.get(f"{LINKED_ACCOUNTS}/{segment(account_id)}", LinkedAccount)

    async def remove(self, account_id: str) -> Removal:
        """Disconnect all that a customer has connected, and forget them. It goes on by itself: see `client.removal`."""
        return await self._transport.ask("DELETE", f"{LINKED_ACCOUNTS}/{segment(account_id)}", Removal)

    async def applications(self, account_id: str) -> list[Connected]:
        """What a customer sees: each application, whether it is connected and whether it must be reconnected."""
        listed = await self._transport.send("GET", f"{SEED}/application", params=_for(account_id))
        return [Connected.model_validate(item) for item in listed]

    async def connect_link(self, account_id: str, slug: str) -> str:
        """A link that takes the customer's browser to the provider's consent page: good once, for 15 minutes."""
        path = f"{INTEGRATION}/oauth-url/{segment(slug)}"
        return (await self._transport.get(path, ConnectLink, _for(account_id))).auth_url

    async def save_key(
        self, account_id: str, slug: str, fields: Mapping[str, str], *, expires_at: datetime | None = None
    ) -> None:
        """Connect a key-based application, or mend it. The provider is asked first.

        Raises:
            EverlinkError: `credentials_refused` where the provider does not accept them; nothing is stored then.
        """
        path = f"{INTEGRATION}/save-key-credentials/{segment(slug)}"
        params = {**_for(account_id), "expires_at": expires_at.isoformat() if expires_at else None}
        await self._transport.send("PUT", path, json=dict(fields), params=params)

    async def migrate(self, account_id: str, slug: str, grant: Mapping[str, Any]) -> None:
        """Take over an OAuth 2 grant that another system holds. The same one sent again changes nothing.

        `grant` has an `access_token`, a `refresh_token` or both, perhaps `expires_at`, `scope` and `token_type`; what
        else is in it is kept beside the tokens. See `PUT /api/v2/public/migrate-token`.

        Raises:
            EverlinkError: `credentials_refused` or `already_expired`; nothing is stored then.
        """
        body = {"slug": slug, "auth_object": {"oauth2": dict(grant)}}
        await self._transport.send("PUT", f"{SEED}/migrate-token", json=body, params=_for(account_id))

    async def session_token(self, account_id: str) -> SessionToken:
        """A token for the customer's browser; one that is still good is given again."""
        body = {"linked_account_id": account_id}
        return await self._transport.ask("POST", f"{SEED}/session-token", SessionToken, json=body)


def _for(account_id: str) -> dict[str, str]:
    """In the query: not every id fits a header."""
    return {"linked_account_id": account_id}
