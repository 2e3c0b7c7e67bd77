"""Forgetting rows for good: of a linked account, or of all that an organization has in one environment.

A linked account goes with everything that is known of it, the connections' ids, their timelines and the bodies of
their events included: names, the customers' accounts at providers and times are personal data, and the product has
been sent each event. What stays is the removal itself: which id, when, and how many connections it had. So an
account that is created again under the same id starts empty.

Which rows those are is read off the foreign keys, so that a table that is added later is not forgotten.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from sqlalchemy import ColumnElement, Table, delete, select, tuple_, update
from sqlmodel import SQLModel

from everlink.contract import RemovalKind, RemovalTask
from store.answers import browsers_of
from store.database import Database
from store.scope import Scope
from store.tables import (
    API_KEYS,
    APPLICATIONS,
    CONSOLE_SESSIONS,
    IDEMPOTENT_ANSWERS,
    LINKED_ACCOUNTS,
    ORGANIZATIONS,
    REMOVALS,
)

BATCH = 1000  # rows in a statement, so that each is over within its time

Base = Callable[[Table], ColumnElement[bool] | None]


class Erasing:
    """What a removal does once every connection has followed."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def forget(self, task: RemovalTask) -> bool:
        """Delete some rows; False where none is left. The removal's own is not among them."""
        scope = Scope.of(task)
        match task.kind:
            case RemovalKind.APPLICATION:
                mine = (APPLICATIONS.c.slug == task.subject) & scope.owns(APPLICATIONS)
                return await self._delete(APPLICATIONS, mine & APPLICATIONS.c.removed_at.is_not(None))
            case RemovalKind.LINKED_ACCOUNT:
                return await self._delete_some(lambda table: _of_account(table, scope, task.subject))
            case RemovalKind.ORGANIZATION:
                return await self._delete_some(lambda table: _of_tenant(table, scope))

    async def finish(self, task: RemovalTask, now: datetime) -> None:
        """The removal is over. One of an organization goes with the tenant's API keys, and leaves nothing."""
        scope = Scope.of(task)
        async with self._database.writing() as connection:
            if task.kind is RemovalKind.ORGANIZATION:
                # Who has signed in at the console since refers to a key, which could not go otherwise.
                for table in (CONSOLE_SESSIONS, API_KEYS, REMOVALS):
                    await connection.execute(delete(table).where(scope.owns(table)))
                return
            mine = (REMOVALS.c.id == task.id) & scope.owns(REMOVALS) & REMOVALS.c.finished_at.is_(None)
            await connection.execute(update(REMOVALS).where(mine).values(finished_at=now))

    async def forget_organization(self, org_id: str) -> None:
        """The last row, once both environments are empty."""
        async with self._database.writing() as connection:
            await connection.execute(delete(ORGANIZATIONS).where(ORGANIZATIONS.c.id == org_id))

    async def _delete_some(self, base: Base) -> bool:
        """From the first table, in the order of foreign keys, that has such a row."""
        for table in reversed(SQLModel.metadata.sorted_tables):
            mine = _belonging(table, base)
            if mine is not None and await self._delete(table, mine):
                return True
        return False

    async def _delete(self, table: Table, mine: ColumnElement[bool]) -> bool:
        key = tuple_(*table.primary_key.columns)
        some = select(*table.primary_key.columns).where(mine).limit(BATCH).correlate(None)
        async with self._database.writing() as connection:
            return (await connection.execute(delete(table).where(key.in_(some)))).rowcount > 0


def _of_tenant(table: Table, scope: Scope) -> ColumnElement[bool] | None:
    kept = table in (API_KEYS, REMOVALS)  # the last to go, for who asked may look how far it is
    return scope.owns(table) if {"org_id", "environment"} <= set(table.columns.keys()) and not kept else None


def _of_account(table: Table, scope: Scope, account_id: str) -> ColumnElement[bool] | None:
    if table is LINKED_ACCOUNTS:
        return scope.owns(table) & (table.c.id == account_id)
    if table is IDEMPOTENT_ANSWERS:
        return scope.owns(table) & (table.c.owner == browsers_of(account_id))
    if "linked_account_id" in table.columns:
        return scope.owns(table) & (table.c.linked_account_id == account_id)
    return None


def _belonging(table: Table, base: Base) -> ColumnElement[bool] | None:
    """The rows that are to go by what they say themselves, or by what they refer to; None: no such row can be here."""
    own = base(table)
    if own is not None:
        return own
    for key in table.foreign_keys:
        owner = _belonging(key.column.table, base) if key.column.name == "id" else None
        if owner is not None:
            return key.parent.in_(select(key.column).where(owner))
    return None
