"""What is kept of refreshes: how far the credential has come, and the tries that have not renewed it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from store.credentials import IntentOutcome
from store.database import Database
from store.scope import Scope
from store.tables import CREDENTIALS, REFRESH_INTENTS


@dataclass(frozen=True)
class Try:
    """A token request of the present generation that has brought nothing, or not yet."""

    at: datetime
    outcome: IntentOutcome | None  # none: it is under way, or was cut off


@dataclass(frozen=True)
class Renewals:
    """A success forgets the tries before it: of those that renewed, only the last is known, by `updated_at`."""

    generation: int
    updated_at: datetime
    renewable: bool
    expires_at: datetime | None
    ends_at: datetime | None  # of the grant itself
    tries: list[Try]


async def read_renewals(database: Database, scope: Scope, connection_id: str) -> Renewals | None:
    """None where there is no credential any more, or not yet."""
    names = ("generation", "updated_at", "renewable", "expires_at", "ends_at")
    standing = select(*(CREDENTIALS.c[name] for name in names)).where(
        CREDENTIALS.c.connection_id == connection_id, scope.owns(CREDENTIALS)
    )
    async with database.reading() as connection:
        row = (await connection.execute(standing)).one_or_none()
        if row is None:
            return None
        mine = (REFRESH_INTENTS.c.connection_id == connection_id) & (REFRESH_INTENTS.c.generation == row.generation)
        tried = select(REFRESH_INTENTS.c.started_at, REFRESH_INTENTS.c.outcome).where(mine)
        tries = (await connection.execute(tried.order_by(REFRESH_INTENTS.c.started_at))).all()
    found = [Try(one.started_at, IntentOutcome(one.outcome) if one.outcome else None) for one in tries]
    return Renewals(row.generation, row.updated_at, row.renewable, row.expires_at, row.ends_at, found)
