"""Migrating makes the schema that the tables say, and can be done again."""

from __future__ import annotations

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, inspect
from sqlalchemy.ext.asyncio import create_async_engine
from sqlmodel import SQLModel

from store.database import Database, StoreUnavailable
from store.migrate import migrate
from store.scope import Scope
from store.tenants import Tenants


async def on_plain_engine(url: str, work: object) -> object:
    engine = create_async_engine(url)
    async with engine.begin() as connection:
        result = await connection.run_sync(work)  # type: ignore[arg-type]
    await engine.dispose()
    return result


def differences(connection: Connection) -> list[object]:
    return list(compare_metadata(MigrationContext.configure(connection), SQLModel.metadata))


def constraints(connection: Connection) -> dict[str, object]:
    """What the comparison does not look at."""
    inspector = inspect(connection)
    return {
        name: (
            sorted(inspector.get_pk_constraint(name)["constrained_columns"]),
            sorted(sorted(key["constrained_columns"]) for key in inspector.get_foreign_keys(name)),
            [(index["name"], index["unique"]) for index in inspector.get_indexes(name) if index["name"][:3] == "one"],
        )
        for name in SQLModel.metadata.tables
    }


async def test_migrations_make_what_the_tables_say(database_url: str) -> None:
    assert await on_plain_engine(database_url, differences) == []


async def test_migrations_make_the_keys_and_the_partial_index_that_the_tables_say(
    database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    plain = f"sqlite+aiosqlite:///{tmp_path_factory.mktemp('plain')}/plain.sqlite3"
    await on_plain_engine(plain, SQLModel.metadata.create_all)
    assert await on_plain_engine(database_url, constraints) == await on_plain_engine(plain, constraints)


async def test_migrating_again_changes_nothing(database_url: str, database: Database, scope: Scope) -> None:
    before = await on_plain_engine(database_url, constraints)
    await migrate(database)
    assert await on_plain_engine(database_url, constraints) == before
    assert await Tenants(database).linked_account(scope, "acme") is not None


async def test_migrating_a_database_that_is_away_says_so() -> None:
    database = Database("postgresql+asyncpg://somebody:planted@127.0.0.1:9/everlink")
    with pytest.raises(StoreUnavailable) as caught:
        await migrate(database)
    assert "planted" not in str(caught.value)
