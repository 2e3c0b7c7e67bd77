"""Catalog entries that organizations brought themselves, as they were given."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import delete, exists, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from everlink.contract import ConnectionStatus
from store.database import Database
from store.scope import Scope
from store.tables import APPLICATIONS, CONNECTIONS, OWN_APPLICATIONS
from store.tenants import refuse_while_erased

MOST = 100  # of one organization in one environment: lists read all of them


class StillInUse(Exception):
    """The application is enabled, or connections of it have not ended."""


class TooMany(Exception):
    """The organization has as many as it may have."""


class OwnApplications:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def definition(self, scope: Scope, slug: str) -> dict[str, Any] | None:
        """What the tenant said of the application; None where it has none by this slug."""
        async with self._database.reading() as connection:
            return await _definition(connection, scope, slug)

    async def all(self, scope: Scope) -> dict[str, dict[str, Any]]:
        """All of a tenant's by their slugs."""
        query = select(OWN_APPLICATIONS.c.slug, OWN_APPLICATIONS.c.definition).where(scope.owns(OWN_APPLICATIONS))
        async with self._database.reading() as connection:
            rows = (await connection.execute(query)).all()
        return {row.slug: row.definition for row in rows}

    async def save(self, scope: Scope, slug: str, definition: dict[str, Any], now: datetime) -> None:
        """Add it, or put it in place of the one that is there.

        Raises:
            StillInUse: it would connect in another way than what is connected already.
            TooMany: it would be one too many.
            RemovalUnderWay: of all that the tenant has.
        """
        row = {**scope.columns, "slug": slug, "definition": definition, "created_at": now, "updated_at": now}
        changed = {"definition": definition, "updated_at": now}
        insert = self._database.insert(OWN_APPLICATIONS).values(row)
        async with self._database.writing() as connection:
            await refuse_while_erased(connection, scope)
            before = await _definition(connection, scope, slug)
            if before is None and await _count(connection, scope) >= MOST:
                raise TooMany("there are as many applications of your own as there may be")
            if before is not None and _way(before) != _way(definition):
                await _refuse_in_use(connection, scope, slug)
            await connection.execute(
                insert.on_conflict_do_update(index_elements=["org_id", "environment", "slug"], set_=changed)
            )

    async def remove(self, scope: Scope, slug: str) -> bool:
        """Forget it; False where there is none.

        Raises:
            StillInUse: without it, what is connected could be neither renewed nor revoked.
        """
        mine = scope.owns(OWN_APPLICATIONS) & (OWN_APPLICATIONS.c.slug == slug)
        async with self._database.writing() as connection:
            gone = (await connection.execute(delete(OWN_APPLICATIONS).where(mine))).rowcount > 0
            if gone:
                await _refuse_in_use(connection, scope, slug)
            return gone


async def _definition(connection: AsyncConnection, scope: Scope, slug: str) -> dict[str, Any] | None:
    mine = scope.owns(OWN_APPLICATIONS) & (OWN_APPLICATIONS.c.slug == slug)
    found = (await connection.execute(select(OWN_APPLICATIONS.c.definition).where(mine))).one_or_none()
    return None if found is None else dict(found.definition)


async def _count(connection: AsyncConnection, scope: Scope) -> int:
    query = select(func.count()).select_from(OWN_APPLICATIONS).where(scope.owns(OWN_APPLICATIONS))
    return int((await connection.execute(query)).scalar_one())


async def _refuse_in_use(connection: AsyncConnection, scope: Scope, slug: str) -> None:
    enabled = exists().where(scope.owns(APPLICATIONS), APPLICATIONS.c.slug == slug)
    connected = exists().where(
        scope.owns(CONNECTIONS),
        CONNECTIONS.c.slug == slug,
        CONNECTIONS.c.status != ConnectionStatus.DISCONNECTED.value,
    )
    if (await connection.execute(select(enabled | connected))).scalar_one():
        raise StillInUse("the application is enabled, or connections of it have not ended")


def _way(definition: Mapping[str, Any]) -> tuple[Any, bool]:
    """How it connects, which decides what a connection's credential is."""
    return definition["auth_type"], definition.get("oauth2") is not None
