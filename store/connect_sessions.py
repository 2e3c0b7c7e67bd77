"""Links to the hosted page: each opens once, for one browser, which then has an hour."""

from __future__ import annotations

import secrets
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from sqlalchemy import ColumnElement, delete, select, update

from everlink.contract import Environment
from store.database import Database
from store.hashing import sha256
from store.scope import Scope
from store.tables import CONNECT_SESSIONS, LINKED_ACCOUNTS
from store.tenants import living_account

LINK_LIFETIME = timedelta(minutes=15)
SESSION_LIFETIME = timedelta(hours=1)
KEPT = timedelta(days=1)  # after its end, where a page frames it, which can so be told why it shows nothing

COLUMNS = CONNECT_SESSIONS.c


@dataclass(frozen=True)
class Wishes:
    """What the product wants of a page: which applications it shows, where it leads, who frames it, its language."""

    applications: tuple[str, ...] = ()  # none: all
    return_url: str | None = None
    embed_origin: str | None = None
    locale: str | None = None
    body: dict[str, Any] = field(default_factory=dict)  # of the seed's: kept, and no more


@dataclass(frozen=True)
class ConnectSession:
    """A browser's right to connect the applications of one linked account."""

    id: str
    scope: Scope
    linked_account_id: str
    wishes: Wishes


@dataclass(frozen=True)
class NewLink:
    id: str  # of the session that it opens
    secret: str  # answered once; only its hash is kept
    expires_at: datetime


class ConnectSessions:
    """The store's side of the hosted page. Only hashes of what is secret are kept."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def issue(self, scope: Scope, linked_account_id: str, wishes: Wishes, now: datetime) -> NewLink:
        """Make a link."""
        link = NewLink(uuid4().hex, secrets.token_urlsafe(32), now + LINK_LIFETIME)
        async with self._database.writing() as connection:
            of_use = COLUMNS.embed_origin.is_not(None) & (COLUMNS.expires_at > now - KEPT)
            await connection.execute(delete(CONNECT_SESSIONS).where(COLUMNS.expires_at <= now, ~of_use))
            await connection.execute(
                CONNECT_SESSIONS.insert().values(
                    id=link.id,
                    secret_sha256=sha256(link.secret),
                    **scope.columns,
                    linked_account_id=linked_account_id,
                    **asdict(wishes),
                    created_at=now,
                    expires_at=link.expires_at,
                )
            )
        return link

    async def open(self, secret: str, now: datetime) -> str | None:
        """Trade the link for what its browser shows from now on; none where it was opened before or has expired."""
        browser = secrets.token_urlsafe(32)
        async with self._database.writing() as connection:
            opened = await connection.execute(
                update(CONNECT_SESSIONS)
                .where(COLUMNS.secret_sha256 == sha256(secret), COLUMNS.browser_sha256.is_(None))
                .where(COLUMNS.expires_at > now)
                .values(browser_sha256=sha256(browser), expires_at=now + SESSION_LIFETIME)
            )
        return browser if opened.rowcount == 1 else None

    async def of_browser(self, browser: str, now: datetime, *, secret: str | None = None) -> ConnectSession | None:
        """The living session of a browser, of this link where one is named; a removed account has none."""
        mine = (COLUMNS.browser_sha256 == sha256(browser)) & (COLUMNS.expires_at > now)
        return await self._find(mine & (COLUMNS.secret_sha256 == sha256(secret)) if secret is not None else mine)

    async def of_link(self, secret: str) -> ConnectSession | None:
        """The session that a link is for, whether it still opens or not: whoever has the link may know whose it is."""
        return await self._find(COLUMNS.secret_sha256 == sha256(secret))

    async def of_id(self, session_id: str) -> ConnectSession | None:
        """A session, living or not. Its id is no right to anything."""
        return await self._find(COLUMNS.id == session_id)

    async def _find(self, condition: ColumnElement[bool]) -> ConnectSession | None:
        query = (
            select(CONNECT_SESSIONS)
            .select_from(CONNECT_SESSIONS.join(LINKED_ACCOUNTS, living_account(CONNECT_SESSIONS)))
            .where(condition)
        )
        async with self._database.reading() as connection:
            row = (await connection.execute(query)).one_or_none()
        if row is None:
            return None
        wishes = Wishes(tuple(row.applications), row.return_url, row.embed_origin, row.locale, row.body)
        scope = Scope(row.org_id, Environment(row.environment))
        return ConnectSession(row.id, scope, row.linked_account_id, wishes)
