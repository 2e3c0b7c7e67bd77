"""A database for each run, copied from one that was migrated once."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from store.database import Database
from store.migrate import migrate
from tests.postgres import Postgres, binaries

NewDatabase = Callable[[Path], str]  # the URL of a database for the run in this folder


@asynccontextmanager
async def sqlite(folder: Path) -> AsyncIterator[NewDatabase]:
    template = folder / "everlink.sqlite3"
    await _migrate(f"sqlite+aiosqlite:///{template}")
    yield lambda own: f"sqlite+aiosqlite:///{shutil.copy(template, own)}"


@asynccontextmanager
async def postgresql(_: Path) -> AsyncIterator[NewDatabase]:
    """A server of our own, gone afterwards."""
    programs = binaries()
    if programs is None:
        raise FileNotFoundError("PostgreSQL is not installed")
    server = Postgres(programs)

    def new(own: Path) -> str:
        server.create(own.name, "migrated")
        return server.url(own.name)

    server.start()
    try:
        server.create("migrated")
        await _migrate(server.url("migrated"))
        yield new
    finally:
        server.stop()
        server.remove()


async def _migrate(url: str) -> None:
    database = Database(url)
    await migrate(database)
    await database.close()
