"""Session tokens: what a customer's browser shows in place of an API key.

They come in pairs: one to show, and one that trades the pair for a new one, once. A pair and those that came of it by
trading are a family; all of it ends a day after the product asked for the first, and at once where a refresh token is
shown a second time, because one of the two who showed it is a thief.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from sqlalchemy import ColumnElement, and_, delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from everlink.contract import Environment
from store.database import Database
from store.hashing import sha256
from store.scope import Scope
from store.tables import LINKED_ACCOUNTS, SESSION_TOKENS, TENANT_SETTINGS
from store.tenants import living_account
from store.vault import Kind, Vault

LIFETIME = timedelta(hours=1)
REFRESH_LIFETIME = timedelta(hours=24)
USEFUL_REST = timedelta(minutes=15)  # a token that lives so long is given again

COLUMNS = SESSION_TOKENS.c


@dataclass(frozen=True)
class Session:
    """For whom a session token stands, and which pages may use it (none named: any)."""

    id: str
    scope: Scope
    linked_account_id: str
    allowed_origins: tuple[str, ...]


@dataclass(frozen=True)
class TokenPair:
    """A session token and what renews it, in the clear."""

    token: str
    refresh_token: str
    expires_at: datetime
    refresh_expires_at: datetime


class Sessions:
    """The store's side of session tokens. They are looked up by their hash, and sealed to be given again."""

    def __init__(self, database: Database, vault: Vault) -> None:
        self._database = database
        self._vault = vault

    async def authenticate(self, token: str, now: datetime) -> Session | None:
        """The session of a token that is neither expired nor revoked."""
        return await self._find(
            and_(COLUMNS.token_sha256 == sha256(token), COLUMNS.revoked_at.is_(None), COLUMNS.expires_at > now)
        )

    async def of_refresh_token(self, refresh_token: str, now: datetime) -> Session | None:
        """The session of a refresh token that has not expired; one that was used before is found as well."""
        return await self._find(and_(COLUMNS.refresh_sha256 == sha256(refresh_token), COLUMNS.refresh_expires_at > now))

    async def issue(self, scope: Scope, linked_account_id: str, now: datetime, *, anew: bool) -> TokenPair:
        """The pair of a linked account: one that lives already, unless a new one is wanted."""
        living = None if anew else await self._living(scope, linked_account_id, now)
        if living is not None:
            return living
        pair = _new_pair(now, now + REFRESH_LIFETIME)
        row = await self._row(scope, linked_account_id, pair, family=uuid4().hex, now=now)
        async with self._database.writing() as connection:
            await connection.execute(delete(SESSION_TOKENS).where(COLUMNS.refresh_expires_at <= now))
            await connection.execute(SESSION_TOKENS.insert().values(row))
        return pair

    async def renew(self, session: Session, now: datetime) -> TokenPair | None:
        """A new pair in place of this session's, once; a second time ends the whole family."""
        mine = COLUMNS.id == session.id
        async with self._database.reading() as connection:
            query = select(COLUMNS.family, COLUMNS.refresh_expires_at).where(mine)
            old = (await connection.execute(query)).one_or_none()
        if old is None:
            return None
        pair = _new_pair(now, old.refresh_expires_at)
        row = await self._row(session.scope, session.linked_account_id, pair, family=old.family, now=now)
        account = _of(session.scope, session.linked_account_id)
        async with self._database.writing() as connection:
            await _take_turns(connection, session.scope, session.linked_account_id)
            ended = await connection.execute(
                update(SESSION_TOKENS).where(mine, COLUMNS.revoked_at.is_(None)).values(revoked_at=now)
            )
            if ended.rowcount == 1:
                await connection.execute(SESSION_TOKENS.insert().values(row))
                return pair
            family = COLUMNS.family == old.family
            await connection.execute(update(SESSION_TOKENS).where(account, family).values(revoked_at=now))
        return None

    async def revoke(self, scope: Scope, linked_account_id: str, now: datetime) -> int:
        """End every living session of a linked account; answers how many that were."""
        living = and_(COLUMNS.revoked_at.is_(None), COLUMNS.refresh_expires_at > now)
        async with self._database.writing() as connection:
            await _take_turns(connection, scope, linked_account_id)
            ended = await connection.execute(
                update(SESSION_TOKENS).where(_of(scope, linked_account_id), living).values(revoked_at=now)
            )
            return ended.rowcount

    async def _find(self, condition: ColumnElement[bool]) -> Session | None:
        """With the tenant's origins in the same read; an account that is being removed has no sessions."""
        tenant = and_(TENANT_SETTINGS.c.org_id == COLUMNS.org_id, TENANT_SETTINGS.c.environment == COLUMNS.environment)
        mine = SESSION_TOKENS.join(LINKED_ACCOUNTS, living_account(SESSION_TOKENS))
        query = (
            select(COLUMNS.id, COLUMNS.org_id, COLUMNS.environment, COLUMNS.linked_account_id)
            .add_columns(TENANT_SETTINGS.c.allowed_origins)
            .select_from(mine.outerjoin(TENANT_SETTINGS, tenant))
            .where(condition)
        )
        async with self._database.reading() as connection:
            row = (await connection.execute(query)).one_or_none()
        if row is None:
            return None
        scope = Scope(row.org_id, Environment(row.environment))
        return Session(row.id, scope, row.linked_account_id, tuple(row.allowed_origins or ()))

    async def _living(self, scope: Scope, linked_account_id: str, now: datetime) -> TokenPair | None:
        query = (
            select(COLUMNS.id, COLUMNS.sealed, COLUMNS.expires_at, COLUMNS.refresh_expires_at)
            .where(_of(scope, linked_account_id), COLUMNS.revoked_at.is_(None))
            .where(COLUMNS.expires_at > now + USEFUL_REST)
            .order_by(COLUMNS.expires_at.desc())
            .limit(1)
        )
        async with self._database.reading() as connection:
            row = (await connection.execute(query)).one_or_none()
        if row is None:
            return None
        opened = json.loads(await self._vault.open(scope, Kind.SESSION_TOKEN, row.id, row.sealed))
        return TokenPair(opened["token"], opened["refresh_token"], row.expires_at, row.refresh_expires_at)

    async def _row(
        self, scope: Scope, linked_account_id: str, pair: TokenPair, *, family: str, now: datetime
    ) -> dict[str, Any]:
        session_id = uuid4().hex
        secret = json.dumps({"token": pair.token, "refresh_token": pair.refresh_token}).encode()
        return {
            "id": session_id,
            **scope.columns,
            "linked_account_id": linked_account_id,
            "family": family,
            "token_sha256": sha256(pair.token),
            "refresh_sha256": sha256(pair.refresh_token),
            "sealed": await self._vault.seal(scope, Kind.SESSION_TOKEN, session_id, secret),
            "created_at": now,
            "expires_at": pair.expires_at,
            "refresh_expires_at": pair.refresh_expires_at,
        }


async def _take_turns(connection: AsyncConnection, scope: Scope, linked_account_id: str) -> None:
    """Of one account, renewing and revoking come after each other.

    A revocation sees the rows that are there when it begins: not the pair that a renewal beside it has yet to commit.
    """
    mine = and_(scope.owns(LINKED_ACCOUNTS), LINKED_ACCOUNTS.c.id == linked_account_id)
    await connection.execute(select(LINKED_ACCOUNTS.c.id).where(mine).with_for_update(key_share=True))


def _of(scope: Scope, linked_account_id: str) -> ColumnElement[bool]:
    return and_(scope.owns(SESSION_TOKENS), COLUMNS.linked_account_id == linked_account_id)


def _new_pair(now: datetime, end: datetime) -> TokenPair:
    token, refresh_token = f"st_{secrets.token_urlsafe(32)}", f"sr_{secrets.token_urlsafe(32)}"
    return TokenPair(token, refresh_token, min(now + LIFETIME, end), end)
