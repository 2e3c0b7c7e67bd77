"""API keys: who calls, for which tenant, and what they may do."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, select, update

from everlink.contract import Environment, KeyScope
from store.database import Access, Database
from store.hashing import sha256
from store.recent import Recent
from store.scope import Scope
from store.tables import API_KEYS, ApiKey

KEY_PREFIX = {Environment.TEST: "tk", Environment.PRODUCTION: "pk"}

_READ_KEY = select(API_KEYS).where(API_KEYS.c.id == bindparam("public_id"))  # built once: each request reads it


@dataclass(frozen=True)
class LiveKey:
    """An API key that may be used: whose it is, and for what."""

    id: str
    scope: Scope
    scopes: frozenset[KeyScope]


class ApiKeys:
    """The store's side of API keys: only hashes of them are kept."""

    def __init__(self, database: Database, recent: Recent[Row[Any]] | None = None) -> None:
        self._database = database
        self._recent = recent or Recent(0)

    async def add(
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

    async def all(self, scope: Scope) -> list[ApiKey]:
        """Every key that there was, newest first."""
        query = select(API_KEYS).where(scope.owns(API_KEYS)).order_by(API_KEYS.c.created_at.desc(), API_KEYS.c.id)
        async with self._database.reading() as connection:
            rows = (await connection.execute(query)).all()
        return [ApiKey(**row._mapping) for row in rows]

    async def get(self, scope: Scope, public_id: str) -> ApiKey | None:
        query = select(API_KEYS).where(API_KEYS.c.id == public_id, scope.owns(API_KEYS))
        async with self._database.reading() as connection:
            row = (await connection.execute(query)).one_or_none()
        return ApiKey(**row._mapping) if row is not None else None

    async def replace(self, scope: Scope, public_id: str, until: datetime) -> None:
        """Another key has taken its place: let it end at that moment, unless it ends sooner."""
        columns = API_KEYS.c
        sooner = columns.overlap_until.is_(None) | (columns.overlap_until > until)
        async with self._database.writing() as connection:
            await connection.execute(
                update(API_KEYS)
                .where(columns.id == public_id, scope.owns(API_KEYS), sooner)
                .values(overlap_until=until)
            )
        self._recent.forget(public_id)

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
        if not is_living(row, now) or KEY_PREFIX[environment] != prefix:
            return None
        rights = frozenset(KeyScope(one) for one in row.scopes)
        return LiveKey(row.id, Scope(row.org_id, environment), rights)

    async def _key(self, public_id: str) -> Row[Any] | None:
        def read(held: Connection) -> Row[Any] | None:
            return held.execute(_READ_KEY, {"public_id": public_id}).one_or_none()

        return self._recent.find(public_id) or await self._recent.read(
            public_id, lambda: self._database.run(Access.READ, read)
        )

    async def revoke(self, public_id: str, now: datetime) -> bool:
        async with self._database.writing() as connection:
            result = await connection.execute(
                update(API_KEYS)
                .where(API_KEYS.c.id == public_id, API_KEYS.c.revoked_at.is_(None))
                .values(revoked_at=now)
            )
        self._recent.forget(public_id)
        return result.rowcount == 1

    async def revoke_unless_last(self, scope: Scope, public_id: str, now: datetime) -> bool:
        """Revoke a key, but not the last one that may make others and stays: False, and it lives on."""
        columns = API_KEYS.c
        # All of them, in one order, so that two keys that revoke each other take turns.
        mine = select(API_KEYS).where(scope.owns(API_KEYS)).order_by(columns.id).with_for_update()
        async with self._database.writing() as connection:
            rows = (await connection.execute(mine)).all()
            lasting = [row for row in rows if is_living(row, now) and row.overlap_until is None]
            admins = {row.id for row in lasting if KeyScope.ADMIN in row.scopes}
            if admins == {public_id}:
                return False
            await connection.execute(
                update(API_KEYS).where(columns.id == public_id, columns.revoked_at.is_(None)).values(revoked_at=now)
            )
        self._recent.forget(public_id)
        return True


def is_living(key: Any, now: datetime) -> bool:
    """Neither revoked, nor expired, nor replaced."""
    return key.revoked_at is None and all(at is None or at > now for at in (key.expires_at, key.overlap_until))
