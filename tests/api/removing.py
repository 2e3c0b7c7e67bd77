"""What the tests of removals share: connections by the hundred, the end of a removal, and what is left of a tenant."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
from sqlalchemy import select, update
from sqlmodel import SQLModel

from api.services import Services
from everlink.contract import AuthType, ConnectionStatus
from providers.credential import OAuthCredential, to_bytes
from store.database import Database, utc_now
from store.scope import Scope
from store.tables import CONNECTIONS
from store.vault import Kind


async def scope_of(made: Services, product: httpx.AsyncClient) -> Scope:
    key = await made.api_keys.authenticate(product.headers["x-api-key"], utc_now())
    assert key is not None
    return key.scope


async def add_connections(made: Services, scope: Scope, count: int, slug: str = "sandbox") -> list[str]:
    """As the store has them, active and with a credential; none of them has a workflow."""
    ids = []
    for number in range(count):
        row = await made.connections.find_or_create(
            scope,
            linked_account_id="acme",
            slug=slug,
            identifier=f"customer-{number}",
            display_name=None,
            auth_type=AuthType.OAUTH2,
            now=utc_now(),
        )
        secret = to_bytes(OAuthCredential(access_token=f"planted-access-{number}", refresh_token="planted-refresh"))
        sealed = await made.vault.seal(scope, Kind.CREDENTIAL, row.id, secret)
        generation = await made.credentials.grant(scope, row.id, sealed, renewable=True, expires_at=None, now=utc_now())
        await made.credentials.confirm(scope, row.id, generation)
        ids.append(row.id)
    async with made.database.writing() as writing:
        now = {"status": ConnectionStatus.ACTIVE.value, "connected_at": utc_now()}
        await writing.execute(update(CONNECTIONS).where(CONNECTIONS.c.id.in_(ids)).values(now))
    return ids


async def until_removed(product: httpx.AsyncClient, removal_id: str, seconds: float = 60) -> dict[str, Any]:
    async with asyncio.timeout(seconds):
        while True:
            answer = await product.get(f"/v1/removals/{removal_id}")
            assert answer.status_code == 200, answer.text
            found: dict[str, Any] = answer.json()
            if found["finished_at"] is not None:
                return found
            await asyncio.sleep(0.1)


async def connections_of(product: httpx.AsyncClient, **where: str) -> list[dict[str, Any]]:
    """All pages."""
    found: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        page = (await product.get("/v1/connections", params={**where, **cursor, "limit": 200})).json()
        found += page["connections"]
        if page["next_cursor"] is None:
            return found
        cursor = {"cursor": page["next_cursor"]}


async def rows_of(database: Database, scope: Scope) -> dict[str, int]:
    """How many rows each table has of a tenant, whether they say so themselves or belong to one that does."""
    counted = {}
    async with database.reading() as connection:
        for table in SQLModel.metadata.sorted_tables:
            mine = None
            if "environment" in table.columns:
                mine = scope.owns(table)
            elif table.name == "refresh_intent":
                mine = table.c.connection_id.in_(select(CONNECTIONS.c.id).where(scope.owns(CONNECTIONS)))
            elif table.name == "oauth_state":
                tickets = SQLModel.metadata.tables["connect_ticket"]
                mine = table.c.ticket_id.in_(select(tickets.c.id).where(scope.owns(tickets)))
            if mine is not None:
                counted[table.name] = len((await connection.execute(select(table).where(mine))).all())
    return {name: count for name, count in counted.items() if count}
