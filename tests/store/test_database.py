"""The database under several processes, away, and asked for what it must refuse."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from sqlalchemy import Connection as Held
from sqlalchemy import Table, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError, StatementError
from sqlalchemy.ext.asyncio import create_async_engine

import store.database
import store.engines
from everlink.contract import Environment
from store.credentials import Credentials
from store.database import Access, Database, StoreUnavailable
from store.migrate import migrate
from store.scope import Scope
from store.tables import (
    CONNECT_TICKETS,
    CONNECTIONS,
    CREDENTIALS,
    EVENTS,
    LINKED_ACCOUNTS,
    ORGANIZATIONS,
    TRANSITIONS,
    Connection,
)
from store.tenants import Tenants
from tests.postgres import Postgres, binaries
from tests.store.conftest import NOW
from tests.store.processes import run_together

WRITER = """
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
"""


async def test_three_writing_processes_lose_no_update(
    database_url: str, database: Database, connection: Connection
) -> None:
    await run_together(WRITER, database_url, count=3)
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


ROWS: dict[Table, dict[str, Any]] = {
    CONNECTIONS: {
        "id": "con_1",
        "linked_account_id": "acme",
        "slug": "sandbox",
        "identifier": "grace",
        "auth_type": "oauth2",
        "status": "pending",
        "health": "ok",
        "status_since": NOW,
        "sequence": 0,
        "created_at": NOW,
    },
    CREDENTIALS: {"generation": 1, "sealed": b"x", "renewable": True, "updated_at": NOW},
    TRANSITIONS: {
        "sequence": 1,
        "at": NOW,
        "previous_status": "active",
        "status": "active",
        "health": "ok",
        "note": "",
    },
    EVENTS: {"id": "e", "sequence": 1, "type": "t", "slug": "sandbox", "body": {}, "created_at": NOW},
    CONNECT_TICKETS: {
        "id": "t",
        "secret_sha256": "x",
        "linked_account_id": "acme",
        "slug": "sandbox",
        "expires_at": NOW,
    },
}


@pytest.mark.parametrize("table", ROWS, ids=str)
async def test_row_cannot_belong_to_another_environment(
    database: Database, scope: Scope, connection: Connection, table: Table
) -> None:
    """Its owner is there, but in the test environment."""
    row = {**ROWS[table], "org_id": scope.org_id, "environment": Environment.PRODUCTION.value}
    if "connection_id" in table.c and table is not CONNECT_TICKETS:
        row["connection_id"] = connection.id
    if table is CREDENTIALS:
        await Credentials(database).purge(scope, connection.id)
    with pytest.raises(IntegrityError):
        async with database.writing() as write:
            await write.execute(table.insert().values(row))
    async with database.writing() as write:  # at home it is welcome
        await write.execute(table.insert().values({**row, **scope.columns}))


async def test_failed_transaction_leaves_nothing(database: Database, scope: Scope) -> None:
    account = {**scope.columns, "id": "half", "udf": {}, "created_at": NOW}
    with pytest.raises(IntegrityError):  # noqa: PT012  the second statement is what fails
        async with database.writing() as write:
            await write.execute(LINKED_ACCOUNTS.insert().values(account))
            await write.execute(LINKED_ACCOUNTS.insert().values(account))
    assert await Tenants(database).linked_account(scope, "half") is None


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


async def test_cancelled_transaction_leaves_nothing_and_the_next_one_works(database: Database, scope: Scope) -> None:
    account = {**scope.columns, "id": "half", "udf": {}, "created_at": NOW}
    written = asyncio.Event()

    async def interrupted() -> None:
        async with database.writing() as write:
            await write.execute(LINKED_ACCOUNTS.insert().values(account))
            written.set()
            await asyncio.sleep(60)

    task = asyncio.create_task(interrupted())
    await written.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    tenants = Tenants(database)
    assert await tenants.linked_account(scope, "half") is None
    await tenants.save_linked_account(scope, "whole", {}, NOW)


async def test_sqlite_is_opened_as_several_processes_and_a_power_cut_need_it(sqlite_url: str) -> None:
    database = Database(sqlite_url)
    async with database.reading() as read:
        said = {
            name: (await read.execute(text(f"PRAGMA {name}"))).scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    await database.close()
    assert said == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 10_000}


RAISE = "DO $$ BEGIN RAISE EXCEPTION 'planted' USING ERRCODE = '{}'; END $$"


@pytest.fixture
async def on_postgres(postgres_url: str) -> AsyncIterator[Database]:
    opened = Database(postgres_url)
    yield opened
    await opened.close()


@pytest.mark.parametrize(
    "state",
    [
        "08006",  # connection failure
        "25006",  # read only: a standby, after a failover
        "40001",  # serialization failure
        "40P01",  # deadlock
        "53100",  # disk full
        "53300",  # too many connections
        "55P03",  # lock not available
        "57014",  # canceled
        "57P01",  # shutting down
        "57P03",  # cannot connect now
        "58030",  # I/O error
    ],
)
async def test_trouble_of_the_server_is_the_one_typed_error(on_postgres: Database, state: str) -> None:
    with pytest.raises(StoreUnavailable) as caught:
        async with on_postgres.writing() as write:
            await write.execute(text(RAISE.format(state)))
    assert "planted" not in str(caught.value)


@pytest.mark.parametrize("state", ["22003", "23505", "42P01"])
async def test_fault_of_a_statement_is_no_outage(on_postgres: Database, state: str) -> None:
    with pytest.raises(DBAPIError):
        async with on_postgres.writing() as write:
            await write.execute(text(RAISE.format(state)))


async def test_server_that_takes_no_connections_is_away(postgres: Postgres, postgres_url: str) -> None:
    name, administrator = postgres_url.rsplit("/", 1)[1], create_async_engine(postgres.url("postgres"))
    async with administrator.execution_options(isolation_level="AUTOCOMMIT").connect() as session:
        await session.execute(text(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false'))
    await administrator.dispose()
    database = Database(postgres_url)
    with pytest.raises(StoreUnavailable):
        await Tenants(database).add_organization("Acme", NOW)
    await database.close()


async def test_full_pool_is_the_one_typed_error(monkeypatch: pytest.MonkeyPatch, postgres_url: str) -> None:
    monkeypatch.setattr(store.database, "QUEUE_SECONDS", 0.3)
    database = Database(postgres_url)
    async with AsyncExitStack() as held:
        with pytest.raises(StoreUnavailable):  # noqa: PT012  some connection is the first too many
            for _ in range(100):
                await held.enter_async_context(database.reading())
    await database.close()


async def test_writers_of_one_process_take_turns_in_the_order_of_coming(sqlite_url: str) -> None:
    """Left to SQLite they would poll for its lock, and under load some would poll until they fail."""
    database, came = Database(sqlite_url), list[int]()

    async def write(number: int) -> None:
        async with database.writing():
            came.append(number)
            await asyncio.sleep(0.02)

    await asyncio.gather(*(write(number) for number in range(30)))
    assert came == list(range(30))
    await database.close()


async def test_process_that_stops_within_a_transaction_does_not_keep_its_locks(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store.engines, "IDLE_IN_TRANSACTION", "500ms")
    stopped, other = Database(postgres_url), Database(postgres_url)
    lock = text("LOCK TABLE organization IN ACCESS EXCLUSIVE MODE")

    async def stop_for_a_while() -> None:
        async with stopped.writing() as held:
            await held.execute(lock)
            async with other.writing() as waiting:
                await waiting.execute(lock)
            await held.execute(select(1))

    with pytest.raises(StoreUnavailable):  # when it goes on
        await stop_for_a_while()
    for database in (stopped, other):
        await database.close()


async def test_writes_that_are_committed_together_fail_each_for_itself(database: Database) -> None:
    names = [f"org {number}" for number in range(20)]

    def insert(name: str) -> Callable[[Held], str]:
        def work(connection: Held) -> str:
            connection.execute(ORGANIZATIONS.insert().values(id=name, name=name, created_at=NOW))
            if name == "org 7":
                raise ValueError(name)
            return name

        return work

    works = [database.run(Access.WRITE, insert(name)) for name in [*names, "org 3"]]
    outcomes = await asyncio.gather(*works, return_exceptions=True)
    said = sorted(outcome for outcome in outcomes if isinstance(outcome, str))
    assert said == sorted(set(names) - {"org 7"})
    assert sorted(type(outcome).__name__ for outcome in outcomes if isinstance(outcome, Exception)) == [
        "IntegrityError",
        "ValueError",
    ]
    async with database.reading() as reading:
        assert sorted((await reading.execute(select(ORGANIZATIONS.c.id))).scalars().all()) == said


async def test_database_that_goes_away_fails_all_that_wait_to_be_committed(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store.database, "TIMEOUT_SECONDS", 0.2)
    database, other = Database(sqlite_url), Database(sqlite_url)
    async with other.writing():  # as another process would
        works = [database.run(Access.WRITE, lambda connection: connection.execute(select(1))) for _ in range(5)]
        outcomes = await asyncio.gather(*works, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {StoreUnavailable}
    assert await database.run(Access.WRITE, lambda connection: connection.execute(select(1)).scalar_one()) == 1
    for one in (database, other):
        await one.close()
