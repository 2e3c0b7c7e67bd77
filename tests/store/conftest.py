"""Tenants with something in them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from everlink.contract import AuthType, Environment, EventType
from store.connections import Connections
from store.credentials import Credentials
from store.database import Database
from store.scope import Scope
from store.tables import Connection, WebhookEndpoint
from store.tenants import Tenants
from store.webhooks import Webhooks

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


async def make_endpoint(
    database: Database, scope: Scope, *events: EventType, id: str | None = None, now: datetime = NOW, **about: Any
) -> str:
    """The id of a webhook endpoint that wants these events."""
    endpoint = WebhookEndpoint(
        id=id or f"we_{uuid4().hex}",
        **scope._asdict(),
        events=[event.value for event in events],
        created_at=now,
        **{"url": "https://product.example/", "secret": b"sealed", **about},
    )
    await Webhooks(database).add(endpoint)
    return endpoint.id


@pytest.fixture
async def connection(database: Database, scope: Scope) -> Connection:
    """A connection with a credential of generation 1."""
    row = await make_connection(database, scope)
    await Credentials(database).grant(scope, row.id, b"sealed", renewable=True, expires_at=None, now=NOW)
    return row
