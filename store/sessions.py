"""Session tokens: what a customer's browser shows in place of an API key."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from everlink.contract import Environment
from store.database import Database
from store.scope import Scope
from store.tables import SESSION_TOKENS
from store.tenants import sha256


@dataclass(frozen=True)
class Session:
    """A living session token: for whom it stands."""

    id: str
    scope: Scope
    linked_account_id: str


class Sessions:
    """The store's side of session tokens. They are looked up by their hash."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def authenticate(self, token: str, now: datetime) -> Session | None:
        """The session of a token that is neither expired nor revoked."""
        columns = SESSION_TOKENS.c
        query = select(columns.id, columns.org_id, columns.environment, columns.linked_account_id).where(
            columns.token_sha256 == sha256(token), columns.revoked_at.is_(None), columns.expires_at > now
        )
        async with self._database.reading() as connection:
            row = (await connection.execute(query)).one_or_none()
        if row is None:
            return None
        return Session(row.id, Scope(row.org_id, Environment(row.environment)), row.linked_account_id)
