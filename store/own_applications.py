"""Catalog entries that organizations brought themselves, as they were given."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from store.database import Database
from store.scope import Scope
from store.tables import OWN_APPLICATIONS


class OwnApplications:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def definition(self, scope: Scope, slug: str) -> dict[str, Any] | None:
        """What the tenant said of the application; None where it has none by this slug."""
        mine = scope.owns(OWN_APPLICATIONS) & (OWN_APPLICATIONS.c.slug == slug)
        async with self._database.reading() as connection:
            found = (await connection.execute(select(OWN_APPLICATIONS.c.definition).where(mine))).one_or_none()
        return None if found is None else dict(found.definition)
