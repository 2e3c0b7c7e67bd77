"""The one way to the database: SQLite by default, PostgreSQL by URL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from enum import Enum, auto
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, Insert, Table, make_url
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.util import greenlet_spawn

from store.engines import SqliteThreads, tame_postgresql, tame_sqlite

Result = TypeVar("Result")
Clock = Callable[[], datetime]

TIMEOUT_SECONDS = 10  # for a connection, a lock and a statement each
QUEUE_SECONDS = 30  # for one's turn behind others of this process: a crowd is no outage
STATEMENT_AT_FAULT = ("0A", "21", "22", "23", "42")  # PostgreSQL's error classes: unsupported, data, integrity, syntax


class Access(Enum):
    """What a transaction does."""

    READ = auto()
    WRITE = auto()
    WRITE_AT_ONCE = auto()  # with a single statement, which is a transaction by itself


def utc_now() -> datetime:
    return datetime.now(UTC)


class StoreUnavailable(Exception):
    """The database cannot be reached or does not answer in time. Nothing was decided; try again."""


class Database:
    """Transactions on one pool. A failure to reach the database is always `StoreUnavailable`."""

    def __init__(self, url: str) -> None:
        self.url = make_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self._writer = asyncio.Lock()
        self._engine = create_async_engine(self.url, hide_parameters=True, **self._options())
        self._reader = self._engine
        self._threads: SqliteThreads | None = None
        if self.is_sqlite:
            tame_sqlite(self._engine.sync_engine)
            self._threads = SqliteThreads(self.url.set(drivername="sqlite"), self._options(), self._turn)
        else:
            tame_postgresql(self._engine.sync_engine)
            # Statements see what is committed when they begin, in a transaction or not: spare BEGIN and COMMIT.
            self._reader = self._engine.execution_options(isolation_level="AUTOCOMMIT")

    def _options(self) -> dict[str, Any]:
        if self.is_sqlite:
            if self.url.database:
                Path(self.url.database).parent.mkdir(parents=True, exist_ok=True)
            return {"connect_args": {"timeout": TIMEOUT_SECONDS}}
        connect = {"timeout": TIMEOUT_SECONDS, "command_timeout": TIMEOUT_SECONDS}
        return {
            "connect_args": connect,
            "pool_size": 10,
            "pool_timeout": QUEUE_SECONDS,
        }

    async def run(self, access: Access, work: Callable[[Connection], Result]) -> Result:
        """A whole transaction in one go, for the hot path.

        Raises:
            StoreUnavailable: the database cannot be reached.
        """
        with translated():
            if self._threads is not None:
                return await (self._threads.read(work) if access is Access.READ else self._threads.write(work))
            engine = self._engine if access is Access.WRITE else self._reader
            return await greenlet_spawn(_transaction, engine.sync_engine, work)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """Statements that only read; on SQLite they see one state of the database.

        Raises:
            StoreUnavailable: the database cannot be reached.
        """
        with translated():
            async with self._reader.begin() as connection:
                yield connection

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that writes; on SQLite it takes the write lock at once, never halfway through.

        Raises:
            StoreUnavailable: the database cannot be reached.
        """
        with translated():
            async with self._turn(), self._engine.connect() as connection:
                await connection.execution_options(everlink_writes=True)
                async with connection.begin():
                    yield connection

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """SQLite has one writer at a time and lets the others poll, some until they fail: here they queue."""
        if not self.is_sqlite:
            yield
            return
        async with asyncio.timeout(QUEUE_SECONDS):
            await self._writer.acquire()
        try:
            yield
        finally:
            self._writer.release()

    def insert_or_ignore(self, table: Table, values: dict[str, Any]) -> Insert:
        """An insert that leaves an existing row alone."""
        statement: Insert = self.insert(table).values(values).on_conflict_do_nothing()
        return statement

    def insert(self, table: Table) -> Any:
        """The dialect's own insert, which knows ON CONFLICT."""
        return sqlite.insert(table) if self.is_sqlite else postgresql.insert(table)

    async def close(self) -> None:
        await self._engine.dispose()
        if self._threads is not None:
            self._threads.close()


def _transaction(engine: Engine, work: Callable[[Connection], Result]) -> Result:
    with engine.begin() as connection:
        return work(connection)


class translated:
    """Turns failures to reach the database into `StoreUnavailable`, whose text holds no statement."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, _: Any, error: BaseException | None, __: Any) -> None:
        if _is_outage(error):
            raise StoreUnavailable("the database cannot be reached") from None


def _is_outage(error: BaseException | None) -> bool:
    """Whether the database is at fault, not the statement: away, starting, full, read-only, overloaded, ..."""
    if not isinstance(error, DBAPIError):
        return isinstance(error, PoolTimeout | OSError)
    state = getattr(error.orig, "sqlstate", None)
    if error.connection_invalidated or state is None:
        return error.connection_invalidated or isinstance(error, OperationalError | InterfaceError)
    return not state.startswith(STATEMENT_AT_FAULT)
