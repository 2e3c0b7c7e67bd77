"""Brings a database to the present schema. One process does it: `manage.py init`."""

from __future__ import annotations

from enum import Enum, auto
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine

from store.database import Database, translated


def alembic_config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    return config


class Schema(Enum):
    """A database's schema beside this release's."""

    PRESENT = auto()
    OLDER = auto()  # or none at all
    UNKNOWN = auto()  # of another release


async def schema(database: Database) -> Schema:
    """How far a database is.

    Raises:
        StoreUnavailable: the database cannot be reached.
    """

    def look(connection: Connection) -> Schema:
        known = ScriptDirectory.from_config(alembic_config(connection))
        heads = MigrationContext.configure(connection).get_current_heads()
        if set(heads) == set(known.get_heads()):
            return Schema.PRESENT
        names = {script.revision for script in known.walk_revisions()}
        return Schema.OLDER if set(heads) <= names else Schema.UNKNOWN

    async with database.reading() as connection:
        return await connection.run_sync(look)


async def migrate(database: Database) -> None:
    """Apply every migration that the database lacks.

    Raises:
        StoreUnavailable: the database cannot be reached.
    """
    engine = create_async_engine(database.url)  # plain: DDL wants no manners of ours
    with translated():
        async with engine.begin() as connection:
            await connection.run_sync(lambda sync: command.upgrade(alembic_config(sync), "head"))
    await engine.dispose()
