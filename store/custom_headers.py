"""The headers that a customer sends along with each event: names in clear, values sealed, for they may be secret."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from sqlalchemy import String, cast, select, update

from store.database import Database
from store.scope import Scope
from store.tables import WEBHOOK_ENDPOINTS
from store.vault import Kind, Vault

AT_ONCE = 100

IN_CLEAR = cast(WEBHOOK_ENDPOINTS.c.headers, String)  # JSON itself cannot be compared everywhere
NONE_IN_CLEAR = "{}"


async def seal_headers(vault: Vault, scope: Scope, endpoint_id: str, headers: dict[str, str]) -> dict[str, Any]:
    """What the endpoint's row holds of its headers."""
    sealed = None
    if headers:
        sealed = await vault.seal(scope, Kind.WEBHOOK_HEADERS, endpoint_id, json.dumps(headers).encode())
    return {"header_names": sorted(headers), "sealed_headers": sealed, "headers": {}}


async def open_headers(
    vault: Vault, scope: Scope, endpoint_id: str, sealed: bytes | None, in_clear: dict[str, str]
) -> dict[str, str]:
    """The headers of an endpoint. What stands in clear was written by code that did not seal, and is the newest."""
    if in_clear or sealed is None:
        return in_clear
    opened: dict[str, str] = json.loads(await vault.open(scope, Kind.WEBHOOK_HEADERS, endpoint_id, sealed))
    return opened


async def seal_what_is_clear(database: Database, make_vault: Callable[[], Vault]) -> int:
    """Seal the headers of rows that were made when they were not; answers how many it were.

    Each row is a transaction, and changes only if it is still what was sealed: any number may do it at once. No vault
    is made, and so no master key needed, where there is nothing to seal. Workers of a version that did not seal yet
    send without these headers from here on, and try again what is refused for it: replace them.
    """
    table, count = WEBHOOK_ENDPOINTS, 0
    query = select(table.c.id, table.c.org_id, table.c.environment, table.c.headers, IN_CLEAR.label("in_clear"))
    query = query.where(IN_CLEAR != NONE_IN_CLEAR).order_by(table.c.id).limit(AT_ONCE)
    vault: Vault | None = None
    while True:
        async with database.reading() as connection:
            rows = (await connection.execute(query)).all()
        if not rows:
            return count
        vault = vault or make_vault()
        for row in rows:
            values = await seal_headers(vault, Scope(row.org_id, row.environment), row.id, row.headers)
            unchanged = (table.c.id == row.id) & (row.in_clear == IN_CLEAR)
            async with database.writing() as connection:
                count += (await connection.execute(update(table).where(unchanged).values(values))).rowcount
