"""Organizations, their API keys, applications and linked accounts."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, Row, bindparam, select, update

from everlink.contract import Environment, KeyScope
from store.database import Access, Database
from store.recent import Recent
from store.scope import Scope
from store.tables import (
    API_KEYS,
    APPLICATIONS,
    LINKED_ACCOUNTS,
    ORGANIZATIONS,
    Application,
    LinkedAccount,
)

KEY_PREFIX = {Environment.TEST: "tk", Environment.PRODUCTION: "pk"}


_READ_KEY = select(API_KEYS).where(API_KEYS.c.id == bindparam("public_id"))  # built once: each request reads it


def sha256(secret: str) -> str:
    """How random secrets are kept: there is nothing to guess, so nothing to slow down."""
    return hashlib.sha256(secret.encode()).hexdigest()


@dataclass(frozen=True)
class LiveKey:
    """An API key that may be used: whose it is, and for what."""

    id: str
    scope: Scope
    scopes: frozenset[KeyScope]


class Tenants:
    """The store's side of who may do what."""

    def __init__(self, database: Database, recent_keys: Recent[Row[Any]] | None = None) -> None:
        self._database = database
        self._recent_keys = recent_keys or Recent(0)

    async def add_organization(self, name: str, now: datetime, org_id: str | None = None) -> str:
        org_id = org_id or uuid4().hex[:24]
        async with self._database.writing() as connection:
            await connection.execute(
                self._database.insert_or_ignore(ORGANIZATIONS, {"id": org_id, "name": name, "created_at": now})
            )
        return org_id

    async def add_api_key(
        self,
        scope: Scope,
        name: str,
        now: datetime,
        *,
        scopes: Iterable[KeyScope] = KeyScope,
        expires_at: datetime | None = None,
    ) -> str:
        """Make a key. It is answered here, once, and cannot be read again."""
        public, secret = secrets.token_hex(6), secrets.token_urlsafe(24)
        async with self._database.writing() as connection:
            await connection.execute(
                API_KEYS.insert().values(
                    id=public,
                    **scope.columns,
                    name=name,
                    secret_sha256=sha256(secret),
                    scopes=[str(one) for one in scopes],
                    created_at=now,
                    expires_at=expires_at,
                )
            )
        return f"{KEY_PREFIX[scope.environment]}_{public}_{secret}"

    async def authenticate(self, api_key: str, now: datetime) -> LiveKey | None:
        """What a key opens that is neither expired nor revoked."""
        if not (api_key.isascii() and api_key.isprintable()):
            return None  # no key of ours, and not every database can look for it
        prefix, _, rest = api_key.partition("_")
        public, _, secret = rest.partition("_")
        row = await self._key(public)
        if row is None or not hmac.compare_digest(row.secret_sha256, sha256(secret)):
            return None
        environment = Environment(row.environment)
        expired = row.expires_at is not None and row.expires_at <= now
        if expired or row.revoked_at is not None or KEY_PREFIX[environment] != prefix:
            return None
        rights = frozenset(KeyScope(one) for one in row.scopes)
        return LiveKey(row.id, Scope(row.org_id, environment), rights)

    async def _key(self, public_id: str) -> Row[Any] | None:
        def read(held: Connection) -> Row[Any] | None:
            return held.execute(_READ_KEY, {"public_id": public_id}).one_or_none()

        return self._recent_keys.find(public_id) or await self._recent_keys.read(
            public_id, lambda: self._database.run(Access.READ, read)
        )

    async def revoke_api_key(self, public_id: str, now: datetime) -> bool:
        async with self._database.writing() as connection:
            result = await connection.execute(
                update(API_KEYS)
                .where(API_KEYS.c.id == public_id, API_KEYS.c.revoked_at.is_(None))
                .values(revoked_at=now)
            )
        self._recent_keys.forget(public_id)
        return result.rowcount == 1

    # Applications

    async def enable_application(self, scope: Scope, slug: str, values: dict[str, Any], now: datetime) -> str:
        """Enable a catalog entry for a tenant, or change its client. Answers the application's id."""
        row = {"id": uuid4().hex[:24], **scope.columns, "slug": slug, "scopes": [], "created_at": now}
        async with self._database.writing() as connection:
            await connection.execute(self._database.insert_or_ignore(APPLICATIONS, row))
            mine = (APPLICATIONS.c.slug == slug) & scope.owns(APPLICATIONS)
            if values:
                await connection.execute(update(APPLICATIONS).where(mine).values(values))
            return str((await connection.execute(select(APPLICATIONS.c.id).where(mine))).scalar_one())

    async def applications(self, scope: Scope) -> list[Application]:
        query = select(APPLICATIONS).where(scope.owns(APPLICATIONS)).order_by(APPLICATIONS.c.slug)
        async with self._database.reading() as connection:
            rows = (await connection.execute(query)).all()
        return [Application(**row._mapping) for row in rows]

    async def application(self, scope: Scope, slug: str) -> Application | None:
        query = select(APPLICATIONS).where(APPLICATIONS.c.slug == slug, scope.owns(APPLICATIONS))
        async with self._database.reading() as connection:
            row = (await connection.execute(query)).one_or_none()
        return Application(**row._mapping) if row is not None else None

    # Linked accounts

    async def save_linked_account(
        self, scope: Scope, account_id: str, values: dict[str, Any], now: datetime
    ) -> LinkedAccount:
        row: dict[str, Any] = {**scope.columns, "id": account_id, "name": None, "udf": {}, "created_at": now}
        mine = (LINKED_ACCOUNTS.c.id == account_id) & scope.owns(LINKED_ACCOUNTS)
        async with self._database.writing() as connection:
            await connection.execute(self._database.insert_or_ignore(LINKED_ACCOUNTS, row))
            if values:
                await connection.execute(update(LINKED_ACCOUNTS).where(mine).values(values))
            saved = (await connection.execute(select(LINKED_ACCOUNTS).where(mine))).one()
        return LinkedAccount(**saved._mapping)

    async def linked_account(self, scope: Scope, account_id: str) -> LinkedAccount | None:
        query = select(LINKED_ACCOUNTS).where(LINKED_ACCOUNTS.c.id == account_id, scope.owns(LINKED_ACCOUNTS))
        async with self._database.reading() as connection:
            row = (await connection.execute(query)).one_or_none()
        return LinkedAccount(**row._mapping) if row is not None else None
