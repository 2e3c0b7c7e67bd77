"""Whose account a connection opens, and the ids by which the provider's events name it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from sqlalchemy import delete, update
from sqlalchemy.ext.asyncio import AsyncConnection

from store.scope import Scope
from store.tables import CONNECTION_KEYS, CONNECTIONS


class DifferentAccount(Exception):
    """The grant opens another account than the connection's."""


class AccountTaken(Exception):
    """Another living connection has the account already."""


@dataclass(frozen=True)
class Account:
    """The account that a grant opens; `switch` where it may take the place of the connection's own."""

    identifier: str
    display_name: str | None = None
    keys: Mapping[str, Collection[str]] = field(default_factory=dict)  # values by name
    switch: bool = False


async def switch_account(connection: AsyncConnection, scope: Scope, connection_id: str, account: Account) -> None:
    """The connection is another account's from now on."""
    mine = (CONNECTIONS.c.id == connection_id) & scope.owns(CONNECTIONS)
    values = {"identifier": account.identifier, "display_name": account.display_name}
    await connection.execute(update(CONNECTIONS).where(mine).values(values))


async def replace_keys(
    connection: AsyncConnection, scope: Scope, connection_id: str, slug: str, keys: Mapping[str, Collection[str]]
) -> None:
    """These, in place of those that were there."""
    mine = (CONNECTION_KEYS.c.connection_id == connection_id) & scope.owns(CONNECTION_KEYS)
    await connection.execute(delete(CONNECTION_KEYS).where(mine))
    of = {"connection_id": connection_id, **scope.columns, "slug": slug}
    rows = [{**of, "name": name, "value": value} for name, values in keys.items() for value in sorted(set(values))]
    if rows:
        await connection.execute(CONNECTION_KEYS.insert(), rows)
