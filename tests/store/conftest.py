"""Tenants with something in them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from everlink.contract import AuthType, Environment
from store.connections import Connections
from store.credentials import Credentials
from store.database import Database
from store.scope import Scope
from store.tables import Connection
from store.tenants import Tenants

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
async def scope(database: Database) -> Scope:
    tenants = Tenants(database)
    scope = Scope(await tenants.add_organization("Acme", NOW), Environment.TEST)
    await tenants.save_linked_account(scope, "acme", {}, NOW)
    await tenants.enable_application(scope, "sandbox", {}, NOW)
    return scope


@pytest.fixture
async def other(database: Database) -> Scope:
    """Another organization."""
    tenants = Tenants(database)
    scope = Scope(await tenants.add_organization("Other", NOW), Environment.TEST)
    await tenants.save_linked_account(scope, "acme", {}, NOW)
    await tenants.enable_application(scope, "sandbox", {}, NOW)
    return scope


async def make_connection(database: Database, scope: Scope, identifier: str = "ada") -> Connection:
    return await Connections(database).find_or_create(
        scope,
        linked_account_id="acme",
        slug="sandbox",
        identifier=identifier,
        display_name=None,
        auth_type=AuthType.OAUTH2,
        now=NOW,
    )


@pytest.fixture
async def connection(database: Database, scope: Scope) -> Connection:
    """A connection with a credential of generation 1."""
    row = await make_connection(database, scope)
    await Credentials(database).grant(scope, row.id, b"sealed", renewable=True, expires_at=None, now=NOW)
    return row
