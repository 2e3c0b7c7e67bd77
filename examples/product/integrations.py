"""What this product does with its customer's connections: shows their state, and uses them."""

from __future__ import annotations

from dataclasses import dataclass

import httpx

from everlink import Client, ReauthRequired
from everlink.contract import ConnectionStatus
from everlink.models import Connected, Connection

SHOWN = (ConnectionStatus.ACTIVE, ConnectionStatus.REAUTH_REQUIRED)


@dataclass(frozen=True)
class Integration:
    """An application, and the accounts that the customer has connected there."""

    application: Connected
    connections: list[Connection]

    @property
    def broken(self) -> Connection | None:
        """The connection that needs its customer."""
        needy = (one for one in self.connections if one.status is ConnectionStatus.REAUTH_REQUIRED)
        return next(needy, None)


async def integrations(everlink: Client, customer: str) -> list[Integration]:
    connections = [one async for one in everlink.connections.all(linked_account_id=customer) if one.status in SHOWN]
    return [
        Integration(application, [one for one in connections if one.slug == application.slug])
        for application in await everlink.linked_accounts.applications(customer)
    ]


async def sync(everlink: Client, provider: httpx.AsyncClient, customer: str, slug: str) -> str:
    """Use a connection, as a product does all day; answers what came of it, in words.

    The connection is looked up: an id that a browser names may be another customer's.
    """
    mine = everlink.connections.all(linked_account_id=customer, application=slug, status=ConnectionStatus.ACTIVE)
    connection = await anext(mine, None)
    if connection is None:
        return "There is no connection that works."
    try:
        token = await everlink.connections.token(connection.id)  # asked for before each use, and never kept
    except ReauthRequired as dead:
        return f"Nothing synced: {dead}."
    answer = await provider.get("/api/me", headers={"authorization": f"Bearer {token.access_token}"})
    if answer.status_code == httpx.codes.UNAUTHORIZED:
        await everlink.connections.report(connection.id, token.generation)
        return "The provider answered 401. Reported to Everlink, which verifies it now."
    return f"Synced the profile of {answer.raise_for_status().json()['name']}."
