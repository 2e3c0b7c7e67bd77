"""The one way to the database: SQLite by default, PostgreSQL by URL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, Engine, Insert, Table, create_engine, event, make_url
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError, InterfaceError, InvalidatePoolError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

Result = TypeVar("Result")
Clock = Callable[[], datetime]

TIMEOUT_SECONDS = 10  # for a connection, a lock and a statement each
TRUSTED_SECONDS = 1.0  # a pooled connection that was used so lately is taken to be alive
STATEMENT_AT_FAULT = ("0A", "21", "22", "23", "42")  # PostgreSQL's error classes: unsupported, data, integrity, syntax


def utc_now() -> datetime:
    return datetime.now(UTC)


class StoreUnavailable(Exception):
    """The database cannot be reached or does not answer in time. Nothing was decided; try again."""


class Database:
    """Transactions on one pool. A failure to reach the database is always `StoreUnavailable`."""

    def __init__(self, url: str) -> None:
        self.url = make_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self._engine = create_async_engine(self.url, hide_parameters=True, **self._options())
        self._reader = self._engine
        self._threads: SqliteThreads | None = None
        if self.is_sqlite:
            _tame_sqlite(self._engine.sync_engine)
            self._threads = SqliteThreads(self.url.set(drivername="sqlite"), self._options())
        else:
            _try_what_was_idle(self._engine.sync_engine)
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
            "pool_timeout": TIMEOUT_SECONDS,
        }

    async def run(self, work: Callable[[Connection], Result], *, writes: bool) -> Result:
        """A whole transaction in one go, for the hot path.

        SQLite has threads of its own for it: through the async driver each statement changes threads four times,
        which costs more than the statement.

        Raises:
            StoreUnavailable: the database cannot be reached.
        """
        with translated():
            if self._threads is not None:
                return await self._threads.run(work, writes=writes)
            async with (self._engine if writes else self._reader).begin() as connection:
                return await connection.run_sync(work)

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
            async with self._engine.connect() as connection:
                await connection.execution_options(everlink_writes=True)
                async with connection.begin():
                    yield connection

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


class SqliteThreads:
    """Whole transactions on SQLite, each in one call to a thread: one for reads, one for writes, which take turns."""

    def __init__(self, url: URL, options: dict[str, Any]) -> None:
        self._engine = create_engine(url, hide_parameters=True, **options)
        _tame_sqlite(self._engine)
        self._writer = self._engine.execution_options(everlink_writes=True)
        self._reading, self._writing = ThreadPoolExecutor(1), ThreadPoolExecutor(1)

    async def run(self, work: Callable[[Connection], Result], *, writes: bool) -> Result:
        engine, thread = (self._writer, self._writing) if writes else (self._engine, self._reading)

        def transaction() -> Result:
            with engine.begin() as connection:
                return work(connection)

        return await asyncio.get_running_loop().run_in_executor(thread, transaction)

    def close(self) -> None:
        for thread in (self._reading, self._writing):
            thread.shutdown()
        self._engine.dispose()


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


def _try_what_was_idle(engine: Engine) -> None:
    """A connection that nobody has used for a moment may be dead: it is tried, and all are replaced if it is.

    Trying each one at each use, as `pool_pre_ping` does, would add a round trip to every transaction.
    """

    @event.listens_for(engine, "checkin")
    def on_checkin(_: Any, record: Any) -> None:
        record.info["used_at"] = monotonic()

    @event.listens_for(engine, "checkout")
    def on_checkout(connection: Any, record: Any, _: Any) -> None:
        used_at = record.info.get("used_at")
        if used_at is None or monotonic() - used_at < TRUSTED_SECONDS:  # None: it has just been made
            return
        try:
            engine.dialect.do_ping(connection)
        except engine.dialect.loaded_dbapi.Error:
            raise InvalidatePoolError from None


def _tame_sqlite(engine: Any) -> None:
    """Several processes share the file: WAL, waiting for locks, foreign keys held, nothing lost at power loss."""

    @event.listens_for(engine, "connect")
    def on_connect(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "foreign_keys=ON", "synchronous=FULL", "busy_timeout=10000"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def on_begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("everlink_writes")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
