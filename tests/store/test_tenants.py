"""Who may see what."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select, update

from everlink.contract import ConnectionStatus, Environment
from store.connections import ConnectionFilter, Connections
from store.database import Database
from store.scope import Scope
from store.tables import API_KEYS, CONNECTIONS, Connection
from store.tenants import Tenants
from store.tickets import STATE_LIFETIME, TICKET_LIFETIME, Tickets
from tests.store.conftest import NOW, make_connection


@pytest.fixture
def tenants(database: Database) -> Tenants:
    return Tenants(database)


@pytest.mark.parametrize("environment", list(Environment))
async def test_key_stands_for_its_tenant(tenants: Tenants, scope: Scope, environment: Environment) -> None:
    place = Scope(scope.org_id, environment)
    key = await tenants.add_api_key(place, "k", NOW)
    assert key.startswith({"test": "tk_", "production": "pk_"}[environment])
    assert await tenants.authenticate(key, NOW) == place


async def test_anything_but_the_key_stands_for_nobody(tenants: Tenants, scope: Scope) -> None:
    key = await tenants.add_api_key(scope, "k", NOW)
    public = key.split("_")[1]
    for wrong in (
        "",
        "_",
        "tk",
        "tk__",
        f"tk_{public}",
        f"tk_{public}_",
        key[:-1],
        key + "x",
        "p" + key[1:],
        "\x00",
        "é",
    ):
        assert await tenants.authenticate(wrong, NOW) is None


async def test_revoked_or_expired_key_stands_for_nobody(tenants: Tenants, database: Database, scope: Scope) -> None:
    revoked, expired = [await tenants.add_api_key(scope, "k", NOW) for _ in range(2)]
    assert await tenants.revoke_api_key(revoked.split("_")[1], NOW)
    assert not await tenants.revoke_api_key(revoked.split("_")[1], NOW)
    async with database.writing() as write:
        mine = API_KEYS.c.id == expired.split("_")[1]
        await write.execute(update(API_KEYS).where(mine).values(expires_at=NOW + timedelta(hours=1)))
    assert await tenants.authenticate(revoked, NOW) is None
    assert await tenants.authenticate(expired, NOW) == scope
    assert await tenants.authenticate(expired, NOW + timedelta(hours=1)) is None


async def test_database_holds_no_key_in_the_clear(tenants: Tenants, database: Database, scope: Scope) -> None:
    secret = (await tenants.add_api_key(scope, "k", NOW)).split("_", 2)[2]
    async with database.reading() as read:
        rows = (await read.execute(select(API_KEYS))).all()
    assert rows and secret not in repr(rows)


async def test_another_tenant_sees_nothing(
    tenants: Tenants, database: Database, scope: Scope, other: Scope, connection: Connection
) -> None:
    await tenants.enable_application(scope, "sandbox", {"client_id": "x"}, NOW)
    production = Scope(scope.org_id, Environment.PRODUCTION)
    connections = Connections(database)
    for stranger in (other, production):
        assert await tenants.applications(stranger) == []
        assert await tenants.application(stranger, "sandbox") is None
        assert await connections.get(stranger, connection.id) is None
        assert await connections.with_credential(stranger, connection.id) is None
        assert await connections.page(stranger, ConnectionFilter()) == []
        assert await connections.timeline(stranger, connection.id) == []
    assert await tenants.linked_account(production, "acme") is None


async def test_account_keeps_one_id_for_as_long_as_it_lives(
    database: Database, scope: Scope, connection: Connection
) -> None:
    assert (await make_connection(database, scope)).id == connection.id
    assert (await make_connection(database, scope, "grace")).id != connection.id
    async with database.writing() as write:
        ended = CONNECTIONS.update().where(CONNECTIONS.c.id == connection.id)
        await write.execute(ended.values(status=ConnectionStatus.DISCONNECTED.value))
    assert (await make_connection(database, scope)).id != connection.id


async def test_state_is_good_once_for_its_browser_its_application_and_a_while(database: Database, scope: Scope) -> None:
    tickets = Tickets(database)
    secret = await tickets.issue(scope, "acme", "sandbox", None, NOW)
    ticket = await tickets.open(secret, NOW)
    assert ticket is not None and not ticket.used
    for state in ("one", "two", "three", "four"):
        await tickets.depart(ticket, state, "browser", b"verifier", NOW)
    assert await tickets.arrive("one", "another browser", "sandbox", NOW) is None
    assert await tickets.arrive("one", "browser", "sandbox", NOW) is not None
    assert await tickets.arrive("one", "browser", "sandbox", NOW) is None
    assert await tickets.arrive("two", "browser", "another", NOW) is None
    assert await tickets.arrive("three", "browser", "sandbox", NOW + STATE_LIFETIME) is None
    assert await tickets.arrive("unknown", "browser", "sandbox", NOW) is None


async def test_link_expires(database: Database, scope: Scope) -> None:
    tickets = Tickets(database)
    secret = await tickets.issue(scope, "acme", "sandbox", None, NOW)
    assert await tickets.open(secret, NOW + TICKET_LIFETIME) is None
    assert await tickets.open(secret[:-1], NOW) is None
