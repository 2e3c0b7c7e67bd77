"""Operators' browsers: each may see, for half a day, what the API key with which it signed in may."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import uuid4

from sqlalchemy import delete, select

from everlink.contract import Environment, KeyScope
from store.api_keys import LiveKey, is_living
from store.database import Database
from store.hashing import sha256
from store.scope import Scope
from store.tables import API_KEYS, CONSOLE_SESSIONS

LIFETIME = timedelta(hours=12)

COLUMNS = CONSOLE_SESSIONS.c


@dataclass(frozen=True)
class ConsoleSession:
    """An operator who has signed in."""

    id: str
    scope: Scope
    api_key_id: str
    key_name: str
    may_act: bool


class ConsoleSessions:
    """The store's side of the console. Only hashes of what is secret are kept, and nothing of the API key."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def open(self, key: LiveKey, now: datetime, *, may_act: bool) -> str:
        """What the browser of who has shown this key shows from now on."""
        secret = secrets.token_urlsafe(32)
        async with self._database.writing() as connection:
            await connection.execute(delete(CONSOLE_SESSIONS).where(COLUMNS.expires_at <= now))
            await connection.execute(
                CONSOLE_SESSIONS.insert().values(
                    id=uuid4().hex,
                    secret_sha256=sha256(secret),
                    **key.scope.columns,
                    api_key_id=key.id,
                    may_act=may_act and KeyScope.ADMIN in key.scopes,
                    created_at=now,
                    expires_at=now + LIFETIME,
                )
            )
        return secret

    async def of_browser(self, secret: str, now: datetime) -> ConsoleSession | None:
        """The living session of a browser. It ends with its key."""
        query = (
            select(API_KEYS, COLUMNS.id.label("session_id"), COLUMNS.may_act)
            .join_from(CONSOLE_SESSIONS, API_KEYS, API_KEYS.c.id == COLUMNS.api_key_id)
            .where(COLUMNS.secret_sha256 == sha256(secret), COLUMNS.expires_at > now)
        )
        async with self._database.reading() as connection:
            row = (await connection.execute(query)).one_or_none()
        if row is None or not is_living(row, now) or KeyScope.READ not in row.scopes:
            return None
        may_act = row.may_act and KeyScope.ADMIN in row.scopes
        scope = Scope(row.org_id, Environment(row.environment))
        return ConsoleSession(row.session_id, scope, row.id, row.name, may_act)

    async def close(self, session_id: str) -> None:
        async with self._database.writing() as connection:
            await connection.execute(delete(CONSOLE_SESSIONS).where(COLUMNS.id == session_id))
