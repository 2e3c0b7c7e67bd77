"""Who may see what."""

from __future__ import annotations

import pytest
from sqlalchemy import update

from everlink.contract import Environment
from store.connections import Connections
from store.database import Database
from store.listing import ConnectionFilter
from store.scope import Scope
from store.tables import LINKED_ACCOUNTS, Connection
from store.tenants import RemovalUnderWay, Tenants
from tests.store.conftest import NOW


@pytest.fixture
def tenants(database: Database) -> Tenants:
    return Tenants(database)


async def test_another_tenant_sees_nothing(
    tenants: Tenants, database: Database, scope: Scope, other: Scope, connection: Connection
) -> None:
    await tenants.enable_application(scope, "sandbox-key", {"client_id": "x"}, NOW)
    production = Scope(scope.org_id, Environment.PRODUCTION)
    connections = Connections(database)
    for stranger in (other, production):
        assert "sandbox-key" not in [row.slug for row in await tenants.applications(stranger)]
        assert await tenants.application(stranger, "sandbox-key") is None
        assert await connections.get(stranger, connection.id) is None
        assert await connections.with_credential(stranger, connection.id) is None
        assert await connections.page(stranger, ConnectionFilter()) == []
        assert await connections.timeline(stranger, connection.id) == []
    assert await tenants.linked_account(production, "acme") is None


async def test_tenants_with_the_same_names_change_their_own(tenants: Tenants, scope: Scope, other: Scope) -> None:
    for place, name in ((scope, "first"), (other, "second")):
        await tenants.enable_application(place, "sandbox", {"client_id": name}, NOW)
        await tenants.save_linked_account(place, "acme", {"name": name, "udf": {"of": name}}, NOW)
    for place, name in ((scope, "first"), (other, "second")):
        application = await tenants.application(place, "sandbox")
        account = await tenants.linked_account(place, "acme")
        assert application is not None and application.client_id == name
        assert account is not None and (account.name, account.udf) == (name, {"of": name})


async def test_saving_again_keeps_what_is_not_said_anew(tenants: Tenants, scope: Scope) -> None:
    first = await tenants.enable_application(scope, "sandbox", {"client_id": "x", "client_secret": b"s"}, NOW)
    assert await tenants.enable_application(scope, "sandbox", {"client_id": "y"}, NOW) == first
    application = await tenants.application(scope, "sandbox")
    assert application is not None and (application.client_id, application.client_secret) == ("y", b"s")
    await tenants.save_linked_account(scope, "acme", {"name": "Acme"}, NOW)
    assert (await tenants.save_linked_account(scope, "acme", {}, NOW)).name == "Acme"


async def test_accounts_are_paged_by_number_and_by_cursor(tenants: Tenants, scope: Scope, other: Scope) -> None:
    for account_id in ("b", "a/b", "Ü"):
        assert await tenants.add_linked_account(scope, account_id, {"name": account_id}, NOW)
    everything = [row.id for row in await tenants.linked_accounts(scope, limit=10)]
    assert sorted(everything) == sorted(["acme", "b", "a/b", "Ü"]) and await tenants.count_linked_accounts(scope) == 4
    by_number = [(await tenants.linked_accounts(scope, skip=skip, limit=1))[0].id for skip in range(4)]
    by_cursor: list[str] = []
    while page := await tenants.linked_accounts(scope, after=by_cursor[-1] if by_cursor else None, limit=1):
        by_cursor.append(page[0].id)
    assert by_number == by_cursor == everything
    assert await tenants.count_linked_accounts(other) == 1


async def test_account_is_made_once_and_changed_by_its_own_tenant(tenants: Tenants, scope: Scope, other: Scope) -> None:
    assert await tenants.add_linked_account(scope, "b", {"name": "first"}, NOW)
    assert not await tenants.add_linked_account(scope, "b", {"name": "second"}, NOW)
    assert await tenants.change_linked_account(other, "b", {"name": "theirs"}) is None
    unchanged = await tenants.change_linked_account(scope, "b", {})
    assert unchanged is not None and (unchanged.name, unchanged.udf) == ("first", {})


async def test_account_that_is_being_removed_is_not_there(tenants: Tenants, database: Database, scope: Scope) -> None:
    async with database.writing() as write:
        await write.execute(update(LINKED_ACCOUNTS).where(scope.owns(LINKED_ACCOUNTS)).values(removed_at=NOW))
    assert await tenants.linked_account(scope, "acme") is None
    assert await tenants.linked_accounts(scope, limit=10) == [] and await tenants.count_linked_accounts(scope) == 0
    assert await tenants.change_linked_account(scope, "acme", {"name": "x"}) is None
    with pytest.raises(RemovalUnderWay):
        await tenants.save_linked_account(scope, "acme", {"name": "x"}, NOW)
    assert not await tenants.add_linked_account(scope, "acme", {"name": "x"}, NOW)
