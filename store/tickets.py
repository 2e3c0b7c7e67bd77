"""Links into the connect flow, and the one-time states of its visits to a provider."""

from __future__ import annotations

import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from sqlalchemy import Row, delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from everlink.contract import Environment
from store.database import Database
from store.hashing import sha256
from store.scope import Scope
from store.tables import CONNECT_TICKETS, OAUTH_STATES

TICKET_LIFETIME = timedelta(minutes=15)
STATE_LIFETIME = timedelta(minutes=10)
FORGOTTEN_AT_ONCE = 20  # more than one, so that they do not pile up; few, so that nobody waits for it


@dataclass(frozen=True)
class Ticket:
    """The right to connect one application for one linked account, until used or expired."""

    id: str
    scope: Scope
    linked_account_id: str
    slug: str
    connection_id: str | None
    used: bool = False
    connected_id: str | None = None  # the connection that came of it
    error_code: str | None = None  # of its last try, unless another is under way
    switch_account: bool = False
    given: bytes | None = None  # the fields that the customer gave, sealed
    session_id: str | None = None  # of the page of ours that it was made on
    return_url: str | None = None  # where the customer goes when it has done its work
    locale: str | None = None


@dataclass(frozen=True)
class StartLink:
    """What a ticket is used by."""

    secret: str  # answered once; only its hash is kept
    expires_at: datetime


@dataclass(frozen=True)
class Attempt:
    """What came of a ticket so far."""

    id: str
    slug: str
    expires_at: datetime
    connected_id: str | None  # the connection that came of it
    error_code: str | None  # of its last try
    locale: str | None


@dataclass(frozen=True)
class Visit:
    """A visit to the consent page that came back; the verifier is still sealed."""

    ticket: Ticket
    sealed_verifier: bytes


def new_ticket_id() -> str:
    return uuid4().hex


class Tickets:
    """The store's side of the connect flow. Only hashes of what is secret are kept."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def issue(self, ticket: Ticket, now: datetime) -> StartLink:
        """Make a link. Some that nobody can use anymore are forgotten."""
        link = StartLink(secrets.token_urlsafe(32), now + TICKET_LIFETIME)
        async with self._database.writing() as connection:
            await _forget_expired(connection, now)
            await connection.execute(
                CONNECT_TICKETS.insert().values(
                    id=ticket.id,
                    secret_sha256=sha256(link.secret),
                    **ticket.scope.columns,
                    linked_account_id=ticket.linked_account_id,
                    slug=ticket.slug,
                    connection_id=ticket.connection_id,
                    switch_account=ticket.switch_account,
                    given=ticket.given,
                    session_id=ticket.session_id,
                    return_url=ticket.return_url,
                    locale=ticket.locale,
                    expires_at=link.expires_at,
                )
            )
        return link

    async def open(self, secret: str, now: datetime) -> Ticket | None:
        query = select(CONNECT_TICKETS).where(
            CONNECT_TICKETS.c.secret_sha256 == sha256(secret), CONNECT_TICKETS.c.expires_at > now
        )
        async with self._database.reading() as connection:
            row = (await connection.execute(query)).one_or_none()
        return _ticket(row) if row is not None else None

    async def use(self, ticket: Ticket, connected_id: str, now: datetime) -> None:
        """The link has done its work."""
        await self._change(ticket, used_at=now, connected_id=connected_id, error_code=None)

    async def fail(self, ticket: Ticket, error_code: str) -> None:
        """A try did not connect; the link is good for another."""
        await self._change(ticket, error_code=error_code)

    async def attempt(self, scope: Scope, linked_account_id: str, ticket_id: str) -> Attempt | None:
        """What came of a ticket of this linked account; none where there is no such ticket, or none any more."""
        columns = CONNECT_TICKETS.c
        query = select(CONNECT_TICKETS).where(
            columns.id == ticket_id, scope.owns(CONNECT_TICKETS), columns.linked_account_id == linked_account_id
        )
        async with self._database.reading() as connection:
            row = (await connection.execute(query)).one_or_none()
        return _attempt(row) if row is not None else None

    async def attempts(self, ticket_ids: Collection[str]) -> dict[str, Attempt]:
        """What came of these tickets so far, of whatever tenants they are."""
        query = select(CONNECT_TICKETS).where(CONNECT_TICKETS.c.id.in_(ticket_ids))
        async with self._database.reading() as connection:
            rows = (await connection.execute(query)).all()
        return {row.id: _attempt(row) for row in rows}

    async def depart(self, ticket: Ticket, state: str, browser: str, sealed_verifier: bytes, now: datetime) -> None:
        """A browser leaves for the provider with this state: another try is under way."""
        await self._change(ticket, error_code=None)
        async with self._database.writing() as connection:
            await connection.execute(delete(OAUTH_STATES).where(OAUTH_STATES.c.expires_at < now))
            await connection.execute(
                OAUTH_STATES.insert().values(
                    state_sha256=sha256(state),
                    ticket_id=ticket.id,
                    browser_sha256=sha256(browser),
                    verifier=sealed_verifier,
                    expires_at=now + STATE_LIFETIME,
                )
            )

    async def arrive(self, state: str, browser: str, now: datetime) -> Visit | None:
        """The browser is back: the state is used up, and only the browser that left with it may.

        It may be back at another application's callback than the ticket's.
        """
        async with self._database.writing() as connection:
            used = await connection.execute(
                update(OAUTH_STATES)
                .where(
                    OAUTH_STATES.c.state_sha256 == sha256(state),
                    OAUTH_STATES.c.browser_sha256 == sha256(browser),
                    OAUTH_STATES.c.used_at.is_(None),
                    OAUTH_STATES.c.expires_at > now,
                )
                .values(used_at=now)
                .returning(OAUTH_STATES.c.ticket_id, OAUTH_STATES.c.verifier)
            )
            visit = used.one_or_none()
            if visit is None:
                return None
            ticket = (
                await connection.execute(select(CONNECT_TICKETS).where(CONNECT_TICKETS.c.id == visit.ticket_id))
            ).one_or_none()
        return Visit(_ticket(ticket), visit.verifier) if ticket is not None else None

    async def arrived(self, state: str, browser: str, slug: str, now: datetime) -> Ticket | None:
        """The ticket of a visit that this browser has come back from before, as it is now."""
        query = (
            select(CONNECT_TICKETS)
            .join(OAUTH_STATES, OAUTH_STATES.c.ticket_id == CONNECT_TICKETS.c.id)
            .where(
                OAUTH_STATES.c.state_sha256 == sha256(state),
                OAUTH_STATES.c.browser_sha256 == sha256(browser),
                OAUTH_STATES.c.used_at.is_not(None),
                OAUTH_STATES.c.expires_at > now,
                CONNECT_TICKETS.c.slug == slug,
            )
        )
        async with self._database.reading() as connection:
            row = (await connection.execute(query)).one_or_none()
        return _ticket(row) if row is not None else None

    async def _change(self, ticket: Ticket, **values: object) -> None:
        async with self._database.writing() as connection:
            mine = (CONNECT_TICKETS.c.id == ticket.id) & CONNECT_TICKETS.c.used_at.is_(None)
            await connection.execute(update(CONNECT_TICKETS).where(mine).values(values))


async def _forget_expired(connection: AsyncConnection, now: datetime) -> None:
    """Forget tickets whose last visit cannot come back; others who do the same are not waited for."""
    dead = (
        select(CONNECT_TICKETS.c.id)
        .where(CONNECT_TICKETS.c.expires_at < now - STATE_LIFETIME)
        .order_by(CONNECT_TICKETS.c.expires_at)
        .limit(FORGOTTEN_AT_ONCE)
        .with_for_update(skip_locked=True)
    )
    ids = list((await connection.execute(dead)).scalars())
    if ids:
        await connection.execute(delete(OAUTH_STATES).where(OAUTH_STATES.c.ticket_id.in_(ids)))
        await connection.execute(delete(CONNECT_TICKETS).where(CONNECT_TICKETS.c.id.in_(ids)))


def _attempt(row: Row[Any]) -> Attempt:
    return Attempt(row.id, row.slug, row.expires_at, row.connected_id, row.error_code, row.locale)


def _ticket(row: Row[Any]) -> Ticket:
    return Ticket(
        id=row.id,
        scope=Scope(row.org_id, Environment(row.environment)),
        linked_account_id=row.linked_account_id,
        slug=row.slug,
        connection_id=row.connection_id,
        used=row.used_at is not None,
        connected_id=row.connected_id,
        error_code=row.error_code,
        switch_account=row.switch_account,
        given=row.given,
        session_id=row.session_id,
        return_url=row.return_url,
        locale=row.locale,
    )
