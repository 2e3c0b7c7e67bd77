"""Brings a database to the present schema. One process does it: `manage.py init`."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine

from store.database import Database, translated


def alembic_config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    return config


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
