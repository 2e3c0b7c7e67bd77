"""Lists of connections: which rows, in the order of their ids, read from an index and nothing else.

Each combination of filters has an index that starts with the columns that must be equal and ends with the id, so
that a page costs the same however many connections there are. An index over status and health cannot give the
order of ids for several of their values at once: then each value is a branch of its own, and the branches, each in
order, are merged.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Executable, Select, func, literal_column, select, union_all

from everlink.contract import ConnectionStatus, Health
from store.scope import Scope
from store.tables import CONNECTIONS


@dataclass(frozen=True)
class ConnectionFilter:
    """What a list of connections is narrowed to."""

    status: ConnectionStatus | None = None
    reason: str | None = None
    slug: str | None = None
    linked_account_id: str | None = None
    health: Health | None = None
    living: bool = False  # without the disconnected

    @property
    def statuses(self) -> list[ConnectionStatus]:
        """Those that can be met; a reason is only given while the customer has to reconnect."""
        possible = [ConnectionStatus.REAUTH_REQUIRED] if self.reason is not None else list(ConnectionStatus)
        return [
            one
            for one in possible
            if self.status in (None, one) and not (self.living and one is ConnectionStatus.DISCONNECTED)
        ]


def living_query(scope: Scope, account_ids: Sequence[str], slug: str | None) -> Select[Any]:
    """All that have not ended of these linked accounts.

    Without an order: SQLite would rather go through a tenant's connections in the order of their ids than sort few.
    """
    query = select(CONNECTIONS).where(
        scope.owns(CONNECTIONS),
        CONNECTIONS.c.linked_account_id.in_(account_ids),
        CONNECTIONS.c.status != ConnectionStatus.DISCONNECTED.value,
    )
    return query if slug is None else query.where(CONNECTIONS.c.slug == slug)


def page_query(
    scope: Scope, wanted: ConnectionFilter, after: str | None, limit: int, *, is_sqlite: bool
) -> Executable | None:
    """A page from behind the id `after`; None where there can be nothing.

    PostgreSQL merges branches that are bounded themselves, and sorts others; SQLite does the opposite.
    """
    branches = list(_branches(scope, wanted))
    if after is not None:
        branches = [branch.where(CONNECTIONS.c.id > after) for branch in branches]
    # Written out: PostgreSQL plans a statement once for all values only where it knows how few rows are wanted.
    bound: ColumnElement[int] = literal_column(str(int(limit)))
    if not is_sqlite or len(branches) == 1:
        branches = [branch.order_by(CONNECTIONS.c.id).limit(bound) for branch in branches]
    if len(branches) <= 1:
        return branches[0] if branches else None
    merged = union_all(*branches)
    return merged.order_by(merged.selected_columns.id).limit(bound)


def counts_query(scope: Scope, wanted: ConnectionFilter) -> Executable:
    """How many connections there are of each status and health."""
    columns = CONNECTIONS.c.status, CONNECTIONS.c.health
    return _narrowed(select(*columns, func.count()), scope, wanted).group_by(*columns)


def _branches(scope: Scope, wanted: ConnectionFilter) -> Iterator[Select[Any]]:
    every = _narrowed(select(CONNECTIONS), scope, wanted)
    if wanted == ConnectionFilter():
        yield every
        return
    for health in [wanted.health] if wanted.health is not None else Health:
        if wanted.reason is not None and wanted.statuses:
            yield every.where(CONNECTIONS.c.reason == wanted.reason, CONNECTIONS.c.health == health)
        else:
            for status in wanted.statuses:
                yield every.where(CONNECTIONS.c.status == status, CONNECTIONS.c.health == health)


def _narrowed(query: Select[Any], scope: Scope, wanted: ConnectionFilter) -> Select[Any]:
    query = query.where(scope.owns(CONNECTIONS))
    if wanted.slug is not None:
        query = query.where(CONNECTIONS.c.slug == wanted.slug)
    if wanted.linked_account_id is not None:
        query = query.where(CONNECTIONS.c.linked_account_id == wanted.linked_account_id)
    return query
