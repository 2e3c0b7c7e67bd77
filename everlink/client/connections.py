"""The client's part that concerns connections: their state, fresh tokens, reconnects."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime

from everlink.client.transport import Transport, segment
from everlink.contract import ConnectionStatus, Health, ProviderEventKind, ReauthReason
from everlink.errors import ReauthRequired
from everlink.models import (
    Connection,
    ConnectionCounts,
    ConnectionPage,
    Delivery,
    ReconnectLink,
    Refreshed,
    Timeline,
    Token,
)

CONNECTIONS = "/v1/connections"
PAGE = 200


class Connections:
    """`client.connections`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def all(
        self,
        *,
        status: ConnectionStatus | None = None,
        reason: ReauthReason | None = None,
        health: Health | None = None,
        application: str | None = None,
        linked_account_id: str | None = None,
    ) -> AsyncIterator[Connection]:
        """All connections that match all that is given, page by page as they are asked for."""
        wanted = {
            "status": status,
            "reason": reason,
            "health": health,
            "application": application,
            "linked_account_id": linked_account_id,
            "limit": PAGE,
        }
        cursor: str | None = None
        while True:
            page = await self._transport.get(CONNECTIONS, ConnectionPage, {**wanted, "cursor": cursor})
            for connection in page.connections:
                yield connection
            cursor = page.next_cursor
            if cursor is None:
                return

    async def counts(self, *, application: str | None = None, linked_account_id: str | None = None) -> ConnectionCounts:
        """How many there are in each status."""
        params = {"application": application, "linked_account_id": linked_account_id}
        return await self._transport.get(f"{CONNECTIONS}/counts", ConnectionCounts, params)

    async def get(self, connection_id: str) -> Connection:
        return await self._transport.get(_path(connection_id), Connection)

    async def timeline(self, connection_id: str) -> Timeline:
        """Everything that happened to a connection, with reasons."""
        return await self._transport.get(_path(connection_id, "events"), Timeline)

    async def token(self, connection_id: str, *, min_ttl: float = 10.0) -> Token:
        """A credential that lives at least `min_ttl` seconds more. Ask before each use instead of keeping it.

        Raises:
            ReauthRequired: only the customer can help; it has the reason and, where there is one, a link for them.
            Unavailable: the provider does not renew it now, and what was there has expired.
        """
        with _about(connection_id):
            return await self._transport.get(_path(connection_id, "token"), Token, {"min_ttl": min_ttl})

    async def refresh(self, connection_id: str, *, newer_than: int | None = None) -> Refreshed:
        """Refresh, or probe, now; not where there is a credential already that is newer than that generation."""
        params = {"newer_than": newer_than}
        with _about(connection_id):
            return await self._transport.ask("POST", _path(connection_id, "refresh"), Refreshed, params=params)

    async def report(self, connection_id: str, generation: int | None = None) -> None:
        """The provider answered 401 to a token of this generation: Everlink verifies it before it believes it."""
        with _about(connection_id):
            await self._transport.send("POST", _path(connection_id, "report"), json={"generation": generation})

    async def report_event(
        self, connection_id: str, event: ProviderEventKind, occurred_at: datetime | None = None
    ) -> None:
        """The provider told you that the grant is gone (`REVOKED`, `UNINSTALLED`): Everlink believes it at once.

        Say when it happened, so that a report that comes late is not taken for the end of a newer grant.
        """
        at = None if occurred_at is None else occurred_at.isoformat()
        json = {"event": event, "occurred_at": at}
        await self._transport.send("POST", _path(connection_id, "report"), json=json)

    async def reconnect_link(
        self,
        connection_id: str,
        *,
        fields: Mapping[str, str] | None = None,
        switch_account: bool = False,
        return_url: str | None = None,
    ) -> str:
        """A link for the customer's browser that mends this connection under its id.

        `fields` are what the application asks before consent, where that has changed. With `switch_account`, another
        account at the provider may take the place of the one that was connected. The customer goes to `return_url`
        then, one of the settings' `return_urls`.
        """
        json = {"fields": dict(fields or {}), "switch_account": switch_account, "return_url": return_url}
        path = _path(connection_id, "reconnect")
        return (await self._transport.ask("POST", path, ReconnectLink, json=json)).connect_url

    async def wait(
        self,
        connection_id: str,
        *,
        status: ConnectionStatus | None = None,
        after: int | None = None,
        timeout: float = 30.0,
    ) -> Connection:
        """Wait until the connection has this status, or changed after that sequence; at most a minute.

        Answers it as it is when the time is over: look at `status`.
        """
        params = {"status": status, "after": after, "timeout": timeout}
        return await self._transport.ask("GET", _path(connection_id, "wait"), Connection, params=params, waits=timeout)

    async def deliveries(self, connection_id: str) -> list[Delivery]:
        """How the connection's events fared at the webhook endpoints."""
        listed = await self._transport.send("GET", _path(connection_id, "deliveries"))
        return [Delivery.model_validate(item) for item in listed]

    async def disconnect(self, connection_id: str, *, uninstall: bool = False) -> Connection:
        """End a connection: revoked at the provider, purged here. Its id never lives again.

        `uninstall` ends all that the application has in the customer's account, where the provider can do that.
        """
        params = {"uninstall": True} if uninstall else None
        return await self._transport.ask("DELETE", _path(connection_id), Connection, params=params)


@contextmanager
def _about(connection_id: str) -> Iterator[None]:
    """Whoever catches the error far from the call knows which connection it was."""
    try:
        yield
    except ReauthRequired as error:
        error.fields["connection_id"] = connection_id
        raise


def _path(connection_id: str, *parts: str) -> str:
    return "/".join((CONNECTIONS, segment(connection_id), *parts))
