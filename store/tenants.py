"""Organizations, what they have set, their applications and linked accounts."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple
from uuid import uuid4

from sqlalchemy import ColumnElement, Table, and_, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from everlink.contract import RemovalKind
from store.database import Database
from store.scope import Scope
from store.tables import (
    APPLICATIONS,
    LINKED_ACCOUNTS,
    ORGANIZATIONS,
    REMOVALS,
    TENANT_SETTINGS,
    Application,
    LinkedAccount,
    TenantSettings,
)
from store.vault import Kind


def living_account(table: Table) -> ColumnElement[bool]:
    """Joins a row to its linked account, unless that is being removed."""
    return and_(
        LINKED_ACCOUNTS.c.org_id == table.c.org_id,
        LINKED_ACCOUNTS.c.environment == table.c.environment,
        LINKED_ACCOUNTS.c.id == table.c.linked_account_id,
        LINKED_ACCOUNTS.c.removed_at.is_(None),
    )


class ApplicationSecret(NamedTuple):
    """A secret of an application, and its columns: itself, the one that it replaced, and until when that is tried."""

    kind: Kind  # as which it is sealed
    current: str
    former: str
    until: str

    @property
    def forgotten(self) -> dict[str, None]:
        """The values that forget the one before."""
        return {self.former: None, self.until: None}

    def living(self, row: Application, now: datetime) -> list[bytes]:
        """Those of an application that may be tried, sealed, the present one first."""
        until: datetime | None = getattr(row, self.until)
        former = getattr(row, self.former) if until is not None and until > now else None
        return [secret for secret in (getattr(row, self.current), former) if secret is not None]


CLIENT_SECRET = ApplicationSecret(Kind.CLIENT_SECRET, "client_secret", "previous_client_secret", "previous_until")
SIGNING_SECRET = ApplicationSecret(
    Kind.SIGNING_SECRET, "signing_secret", "previous_signing_secret", "previous_signing_until"
)


class RemovalUnderWay(Exception):
    """What is asked for is being removed; it can be made anew when that has ended."""


class Tenants:
    """The store's side of who may do what."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add_organization(self, name: str, now: datetime, org_id: str | None = None) -> str:
        org_id = org_id or uuid4().hex[:24]
        async with self._database.writing() as connection:
            await connection.execute(
                self._database.insert_or_ignore(ORGANIZATIONS, {"id": org_id, "name": name, "created_at": now})
            )
        return org_id

    async def organization_name(self, scope: Scope) -> str:
        query = select(ORGANIZATIONS.c.name).where(ORGANIZATIONS.c.id == scope.org_id)
        async with self._database.reading() as connection:
            return str((await connection.execute(query)).scalar_one())

    async def settings(self, scope: Scope) -> TenantSettings:
        query = select(TENANT_SETTINGS).where(scope.owns(TENANT_SETTINGS))
        async with self._database.reading() as connection:
            row = (await connection.execute(query)).one_or_none()
        return TenantSettings(**row._mapping) if row is not None else _first_settings(scope)

    async def change_settings(self, scope: Scope, values: dict[str, Any]) -> TenantSettings:
        """Change what is given.

        Raises:
            RemovalUnderWay: of all that the tenant has.
        """
        first = _first_settings(scope).model_dump()
        insert = self._database.insert(TENANT_SETTINGS).values({**first, **values})
        if values:
            insert = insert.on_conflict_do_update(index_elements=["org_id", "environment"], set_=values)
        else:
            insert = insert.on_conflict_do_nothing()
        async with self._database.writing() as connection:
            await refuse_while_erased(connection, scope)
            await connection.execute(insert)
        return await self.settings(scope)

    async def has_organization(self, org_id: str) -> bool:
        async with self._database.reading() as connection:
            found = await connection.execute(select(ORGANIZATIONS.c.id).where(ORGANIZATIONS.c.id == org_id))
            return found.one_or_none() is not None

    # Applications

    async def enable_application(self, scope: Scope, slug: str, values: dict[str, Any], now: datetime) -> str:
        """Enable a catalog entry for a tenant, or change its client. Answers the application's id.

        Raises:
            RemovalUnderWay: of the application, or of all that the tenant has.
        """
        row = {"id": uuid4().hex[:24], **scope.columns, "slug": slug, "scopes": [], "created_at": now}
        async with self._database.writing() as connection:
            await refuse_while_erased(connection, scope)
            await connection.execute(self._database.insert_or_ignore(APPLICATIONS, row))
            mine = (APPLICATIONS.c.slug == slug) & scope.owns(APPLICATIONS)
            held = select(APPLICATIONS.c.id, APPLICATIONS.c.removed_at).where(mine).with_for_update()
            found = (await connection.execute(held)).one_or_none()
            if found is None or found.removed_at is not None:  # none: its removal ends at this very moment
                raise RemovalUnderWay("the application is being removed")
            if values:
                await connection.execute(update(APPLICATIONS).where(mine).values(values))
            return str(found.id)

    async def replace_secret(
        self,
        scope: Scope,
        slug: str,
        secret: ApplicationSecret,
        sealed: bytes,
        previous_until: datetime | None,
        now: datetime,
    ) -> None:
        """A new secret; the one before may be tried until then, None: no more."""
        former = APPLICATIONS.c[secret.current] if previous_until is not None else None
        values = {secret.current: sealed, secret.former: former, secret.until: previous_until}
        await self.enable_application(scope, slug, values, now)

    async def applications(self, scope: Scope) -> list[Application]:
        """Those that are enabled; one whose removal is under way is not."""
        living = scope.owns(APPLICATIONS) & APPLICATIONS.c.removed_at.is_(None)
        query = select(APPLICATIONS).where(living).order_by(APPLICATIONS.c.slug)
        async with self._database.reading() as connection:
            rows = (await connection.execute(query)).all()
        return [Application(**row._mapping) for row in rows]

    async def application(self, scope: Scope, slug: str) -> Application | None:
        living = scope.owns(APPLICATIONS) & APPLICATIONS.c.removed_at.is_(None)
        query = select(APPLICATIONS).where(APPLICATIONS.c.slug == slug, living)
        async with self._database.reading() as connection:
            row = (await connection.execute(query)).one_or_none()
        return Application(**row._mapping) if row is not None else None

    async def applications_of_client(self, slug: str, client_id: str) -> list[Application]:
        """Of all tenants that have this client at the provider."""
        living = (APPLICATIONS.c.slug == slug) & APPLICATIONS.c.removed_at.is_(None)
        query = select(APPLICATIONS).where(living, APPLICATIONS.c.client_id == client_id).order_by(APPLICATIONS.c.id)
        async with self._database.reading() as connection:
            rows = (await connection.execute(query)).all()
        return [Application(**row._mapping) for row in rows]

    # Linked accounts

    async def add_linked_account(self, scope: Scope, account_id: str, values: dict[str, Any], now: datetime) -> bool:
        """Whether it is new; where it is not, nothing is changed."""
        row: dict[str, Any] = {**scope.columns, "id": account_id, "name": None, "udf": {}, "created_at": now}
        async with self._database.writing() as connection:
            await refuse_while_erased(connection, scope)
            result = await connection.execute(self._database.insert_or_ignore(LINKED_ACCOUNTS, {**row, **values}))
            return result.rowcount == 1

    async def change_linked_account(
        self, scope: Scope, account_id: str, values: dict[str, Any]
    ) -> LinkedAccount | None:
        """Change its name or fields. None where it is not there, or is being removed."""
        mine = _living(scope) & (LINKED_ACCOUNTS.c.id == account_id)
        async with self._database.writing() as connection:
            if values:
                await connection.execute(update(LINKED_ACCOUNTS).where(mine).values(values))
            row = (await connection.execute(select(LINKED_ACCOUNTS).where(mine))).one_or_none()
        return LinkedAccount(**row._mapping) if row is not None else None

    async def save_linked_account(
        self, scope: Scope, account_id: str, values: dict[str, Any], now: datetime
    ) -> LinkedAccount:
        """Create it, or change what is given.

        Raises:
            RemovalUnderWay: of the account, or of all that the tenant has.
        """
        await self.add_linked_account(scope, account_id, values, now)
        saved = await self.change_linked_account(scope, account_id, values)
        if saved is None:
            raise RemovalUnderWay("the linked account is being removed")
        return saved

    async def linked_account(self, scope: Scope, account_id: str) -> LinkedAccount | None:
        """One that lives: none that is being removed."""
        query = select(LINKED_ACCOUNTS).where(LINKED_ACCOUNTS.c.id == account_id, _living(scope))
        async with self._database.reading() as connection:
            row = (await connection.execute(query)).one_or_none()
        return LinkedAccount(**row._mapping) if row is not None else None

    async def linked_accounts(
        self, scope: Scope, *, after: str | None = None, skip: int = 0, limit: int
    ) -> list[LinkedAccount]:
        """A page of those that live, in the order of their ids: from behind `after`, or by number."""
        query = select(LINKED_ACCOUNTS).where(_living(scope)).order_by(LINKED_ACCOUNTS.c.id).offset(skip).limit(limit)
        if after is not None:
            query = query.where(LINKED_ACCOUNTS.c.id > after)
        async with self._database.reading() as connection:
            rows = (await connection.execute(query)).all()
        return [LinkedAccount(**row._mapping) for row in rows]

    async def count_linked_accounts(self, scope: Scope) -> int:
        query = select(func.count()).select_from(LINKED_ACCOUNTS).where(_living(scope))
        async with self._database.reading() as connection:
            return int((await connection.execute(query)).scalar_one())


def _first_settings(scope: Scope) -> TenantSettings:
    return TenantSettings(org_id=scope.org_id, environment=scope.environment)


def _living(scope: Scope) -> ColumnElement[bool]:
    return scope.owns(LINKED_ACCOUNTS) & LINKED_ACCOUNTS.c.removed_at.is_(None)


async def refuse_while_erased(connection: AsyncConnection, scope: Scope) -> None:
    """Nothing is made anew in an environment of which everything is being removed.

    The organization's row is held, so that such a removal begins before or after, and sees what was made.
    """
    held = select(ORGANIZATIONS.c.id).where(ORGANIZATIONS.c.id == scope.org_id)
    await connection.execute(held.with_for_update(read=True))
    erasing = select(REMOVALS.c.id).where(
        scope.owns(REMOVALS), REMOVALS.c.kind == RemovalKind.ORGANIZATION.value, REMOVALS.c.finished_at.is_(None)
    )
    if (await connection.execute(erasing.limit(1))).one_or_none() is not None:
        raise RemovalUnderWay("everything in this environment is being removed")


async def refuse_removed(connection: AsyncConnection, scope: Scope, slug: str, account_id: str) -> None:
    """A grant needs its application and its linked account; both are held, so that a removal sees what is made.

    Raises:
        RemovalUnderWay: one of them is being removed, or has been.
    """
    application = select(APPLICATIONS.c.id).where(
        APPLICATIONS.c.slug == slug, scope.owns(APPLICATIONS), APPLICATIONS.c.removed_at.is_(None)
    )
    account = select(LINKED_ACCOUNTS.c.id).where(
        LINKED_ACCOUNTS.c.id == account_id, scope.owns(LINKED_ACCOUNTS), LINKED_ACCOUNTS.c.removed_at.is_(None)
    )
    for held in (application, account):
        if (await connection.execute(held.with_for_update(read=True))).one_or_none() is None:
            raise RemovalUnderWay("the application or the linked account is not there, or is being removed")
