"""The database under several processes, away, and asked for what it must refuse."""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError, StatementError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlmodel import SQLModel

from everlink.contract import Environment
from store.database import Database, StoreUnavailable
from store.migrate import migrate
from store.scope import Scope
from store.tables import CONNECTIONS, CREDENTIALS, LINKED_ACCOUNTS, ORGANIZATIONS, Connection
from store.tenants import Tenants
from tests.postgres import Postgres, binaries
from tests.store.conftest import NOW

WRITER = """
import asyncio, sys
from sqlalchemy import select, update
from store.database import Database
from store.tables import CREDENTIALS as C

async def main(url):
    database = Database(url)
    for _ in range(100):
        async with database.writing() as connection:
            generation = (await connection.execute(select(C.c.generation).with_for_update())).scalar_one()
            await connection.execute(update(C).values(generation=generation + 1))
    await database.close()

asyncio.run(main(sys.argv[1]))
"""


async def test_three_writing_processes_lose_no_update(
    database_url: str, database: Database, connection: Connection
) -> None:
    root = Path(__file__).parents[2]
    command = (sys.executable, "-c", WRITER, database_url)
    writers = [await asyncio.create_subprocess_exec(*command, cwd=root) for _ in range(3)]
    assert [await writer.wait() for writer in writers] == [0, 0, 0]
    async with database.reading() as read:
        assert (await read.execute(select(CREDENTIALS.c.generation))).scalar_one() == 301


async def test_moment_without_a_zone_is_refused(database: Database) -> None:
    with pytest.raises(StatementError):
        await Tenants(database).add_organization("Acme", datetime(2026, 1, 1))


async def test_moments_come_back_as_utc(database: Database) -> None:
    east = NOW.astimezone(timezone(timedelta(hours=9)))
    await Tenants(database).add_organization("Acme", east)
    async with database.reading() as read:
        found = (await read.execute(select(ORGANIZATIONS.c.created_at))).scalar_one()
    assert found == NOW and found.tzinfo is UTC


async def test_row_cannot_belong_to_another_environment(database: Database, scope: Scope) -> None:
    row = {
        "id": "con_1",
        "org_id": scope.org_id,
        "environment": Environment.PRODUCTION.value,  # the linked account is of the test environment
        "linked_account_id": "acme",
        "slug": "sandbox",
        "identifier": "ada",
        "auth_type": "oauth2",
        "status": "pending",
        "health": "ok",
        "status_since": NOW,
        "sequence": 0,
        "created_at": NOW,
    }
    with pytest.raises(IntegrityError):
        async with database.writing() as write:
            await write.execute(CONNECTIONS.insert().values(row))


async def test_failed_transaction_leaves_nothing(database: Database, scope: Scope) -> None:
    account = {**scope.columns, "id": "half", "udf": {}, "created_at": NOW}
    with pytest.raises(IntegrityError):  # noqa: PT012  the second statement is what fails
        async with database.writing() as write:
            await write.execute(LINKED_ACCOUNTS.insert().values(account))
            await write.execute(LINKED_ACCOUNTS.insert().values(account))
    assert await Tenants(database).linked_account(scope, "half") is None


async def test_migrations_make_what_the_tables_say(database_url: str, database: Database) -> None:
    engine = create_async_engine(database_url)
    async with engine.begin() as connection:
        differences = await connection.run_sync(
            lambda sync: compare_metadata(MigrationContext.configure(sync), SQLModel.metadata)
        )
    await engine.dispose()
    assert differences == []
    await migrate(database)  # again: nothing to do


async def test_database_that_is_away_is_one_typed_error_and_comes_back() -> None:
    programs = binaries()
    if programs is None:
        pytest.skip("PostgreSQL is not installed")
    server = Postgres(programs)
    server.start()
    server.create("everlink")
    database = Database(server.url("everlink"))
    await migrate(database)
    tenants = Tenants(database)
    org_id = await tenants.add_organization("Acme", NOW)
    scope = Scope(org_id, Environment.TEST)
    server.stop()
    for attempt in (tenants.applications(scope), tenants.add_organization("planted-name", NOW)):
        with pytest.raises(StoreUnavailable) as caught:
            await asyncio.wait_for(attempt, 15)
        assert "planted" not in repr(caught.value) and caught.value.__cause__ is None
    server.start()
    assert await tenants.applications(scope) == []
    await database.close()
    server.stop()
    server.remove()
