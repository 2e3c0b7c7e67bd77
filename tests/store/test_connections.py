"""An account at a provider has one living connection, and lists show a tenant its own, each once."""

from __future__ import annotations

import asyncio

import pytest

from everlink.contract import AuthType, ConnectionStatus
from store.connections import Connections, connection_ref
from store.credentials import Credentials
from store.database import Database
from store.listing import ConnectionFilter
from store.scope import Scope
from store.tables import CONNECTIONS, Connection
from store.tenants import RemovalUnderWay
from tests.store.conftest import NOW, make_connection
from tests.store.processes import run_together


async def set_status(database: Database, connection_id: str, status: ConnectionStatus) -> None:
    async with database.writing() as write:
        mine = CONNECTIONS.update().where(CONNECTIONS.c.id == connection_id)
        await write.execute(mine.values(status=status.value))


async def test_account_keeps_one_id_for_as_long_as_it_lives(
    database: Database, scope: Scope, connection: Connection
) -> None:
    for status in (ConnectionStatus.PENDING, ConnectionStatus.ACTIVE, ConnectionStatus.REAUTH_REQUIRED):
        await set_status(database, connection.id, status)
        assert (await make_connection(database, scope)).id == connection.id
    await set_status(database, connection.id, ConnectionStatus.DISCONNECTED)
    reborn = (await make_connection(database, scope)).id
    assert reborn != connection.id
    assert (await make_connection(database, scope)).id == reborn


async def test_other_accounts_are_other_connections(
    database: Database, scope: Scope, other: Scope, connection: Connection
) -> None:
    made = {connection.id, (await make_connection(database, scope, "grace")).id}
    made.add((await make_connection(database, scope, "Ada")).id)
    made.add((await make_connection(database, other)).id)
    assert len(made) == 4


async def test_callers_at_once_get_one_connection(database: Database, scope: Scope) -> None:
    rows = await asyncio.gather(*(make_connection(database, scope) for _ in range(8)))
    assert len({row.id for row in rows}) == 1
    assert len(await Connections(database).page(scope, ConnectionFilter())) == 1


MAKER = """
from datetime import UTC, datetime
from everlink.contract import AuthType, Environment
from store.connections import Connections
from store.database import Database
from store.scope import Scope

async def main(url, org_id):
    database = Database(url)
    row = await Connections(database).find_or_create(
        Scope(org_id, Environment.TEST), linked_account_id="acme", slug="sandbox", identifier="ada",
        display_name=None, auth_type=AuthType.OAUTH2, now=datetime(2026, 1, 1, tzinfo=UTC),
    )
    print(row.id)
    await database.close()
"""


async def test_processes_at_once_get_one_connection(database_url: str, scope: Scope) -> None:
    assert len(set(await run_together(MAKER, database_url, scope.org_id, count=3))) == 1


async def test_connection_of_an_account_that_nobody_linked_is_refused(database: Database, scope: Scope) -> None:
    with pytest.raises(RemovalUnderWay):
        await Connections(database).find_or_create(
            scope,
            linked_account_id="unknown",
            slug="sandbox",
            identifier="ada",
            display_name=None,
            auth_type=AuthType.OAUTH2,
            now=NOW,
        )


async def test_pages_hold_each_connection_once(database: Database, scope: Scope, other: Scope) -> None:
    made = {(await make_connection(database, scope, f"account {number}")).id for number in range(5)}
    await make_connection(database, other)
    connections, seen, after = Connections(database), [], None
    while page := await connections.page(scope, ConnectionFilter(), after=after, limit=2):
        assert len(page) <= 2
        seen += [row.id for row in page]
        after = seen[-1]
    assert seen == sorted(made)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (ConnectionFilter(), ["ada", "grace"]),
        (ConnectionFilter(living=True), ["grace"]),
        (ConnectionFilter(status=ConnectionStatus.DISCONNECTED), ["ada"]),
        (ConnectionFilter(status=ConnectionStatus.DISCONNECTED, living=True), []),
        (ConnectionFilter(slug="sandbox", linked_account_id="acme"), ["ada", "grace"]),
        (ConnectionFilter(slug="sandbox%"), []),
        (ConnectionFilter(linked_account_id="other"), []),
        (ConnectionFilter(reason="access_revoked"), []),
    ],
    ids=str,
)
async def test_list_holds_what_was_asked_for(
    database: Database, scope: Scope, connection: Connection, wanted: ConnectionFilter, found: list[str]
) -> None:
    await make_connection(database, scope, "grace")
    await set_status(database, connection.id, ConnectionStatus.DISCONNECTED)
    page = await Connections(database).page(scope, wanted)
    assert sorted(row.identifier for row in page) == found


async def test_row_and_reference_name_the_same_connection(
    database: Database, scope: Scope, connection: Connection
) -> None:
    ref = connection_ref(connection)
    assert Scope.of(ref) == scope
    assert await Connections(database).get(Scope.of(ref), ref.connection_id) == connection


async def test_token_read_holds_status_and_credential_of_one_moment(
    database: Database, scope: Scope, connection: Connection
) -> None:
    read = await Connections(database).with_credential(scope, connection.id)
    assert read is not None and read.stored is not None
    assert (read.status, read.slug, read.stored.generation) == (ConnectionStatus.PENDING, "sandbox", 1)
    await Credentials(database).purge(scope, connection.id)
    read = await Connections(database).with_credential(scope, connection.id)
    assert read is not None and read.stored is None
