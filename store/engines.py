"""What SQLite and PostgreSQL each need, to be shared by several processes and to be quick."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from time import monotonic
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import InvalidatePoolError

Result = TypeVar("Result")

TRUSTED_SECONDS = 1.0  # a pooled connection that was used so lately is taken to be alive
IDLE_IN_TRANSACTION = "15s"  # longer than any of ours waits for a statement or a lock


def tame_postgresql(engine: Engine) -> None:
    """A connection that nobody has used for a moment may be dead: it is tried, and all are replaced if it is.

    Trying each one at each use, as `pool_pre_ping` does, would add a round trip to every transaction. And a process
    that stops within a transaction does not keep its locks for ever.
    """

    @event.listens_for(engine, "connect")
    def on_connect(connection: Any, _: Any) -> None:
        cursor = connection.cursor()
        cursor.execute(f"SET idle_in_transaction_session_timeout = '{IDLE_IN_TRANSACTION}'")
        cursor.close()
        connection.commit()

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


def tame_sqlite(engine: Engine) -> None:
    """Several processes share the file: WAL, waiting for locks, foreign keys held, nothing lost at power loss."""

    @event.listens_for(engine, "connect")
    def on_connect(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "foreign_keys=ON", "synchronous=FULL"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def on_begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("everlink_writes")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


class SqliteThreads:
    """Whole transactions on SQLite, each in one call to a thread: one thread for reads, one for writes.

    Through the async driver each statement changes threads four times, which costs more than the statement. Writes
    that wait together are committed together: it is the disk's acknowledgement that takes the time.
    """

    def __init__(
        self, url: URL, options: dict[str, Any], turn: Callable[[], AbstractAsyncContextManager[None]]
    ) -> None:
        self._engine = create_engine(url, hide_parameters=True, **options)
        tame_sqlite(self._engine)
        self._writer = self._engine.execution_options(everlink_writes=True)
        self._reading, self._writing = ThreadPoolExecutor(1), ThreadPoolExecutor(1)
        self._turn = turn
        self._waiting: list[tuple[Callable[[Connection], Any], asyncio.Future[Any]]] = []
        self._committing: asyncio.Task[None] | None = None

    async def read(self, work: Callable[[Connection], Result]) -> Result:
        def transaction() -> Result:
            with self._engine.begin() as connection:
                return work(connection)

        return await asyncio.get_running_loop().run_in_executor(self._reading, transaction)

    async def write(self, work: Callable[[Connection], Result]) -> Result:
        written: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((work, written))
        if self._committing is None or self._committing.done():
            self._committing = asyncio.create_task(self._commit())
        return await written

    def close(self) -> None:
        for thread in (self._reading, self._writing):
            thread.shutdown()
        self._engine.dispose()

    async def _commit(self) -> None:
        while self._waiting:
            together: list[tuple[Callable[[Connection], Any], asyncio.Future[Any]]] = []
            try:
                async with self._turn():
                    together, self._waiting = self._waiting, []
                    works = [work for work, _ in together]
                    outcomes = await asyncio.get_running_loop().run_in_executor(self._writing, self._together, works)
            except Exception as error:  # of the turn, or of the commit: it is everybody's
                if not together:
                    together, self._waiting = self._waiting, []
                outcomes = [error] * len(together)
            for (_, written), outcome in zip(together, outcomes, strict=True):
                if written.done():  # nobody waits for it anymore
                    continue
                if isinstance(outcome, Exception):
                    written.set_exception(outcome)
                else:
                    written.set_result(outcome)

    def _together(self, works: list[Callable[[Connection], Any]]) -> list[Any]:
        """What each answers or raises; one that raises is undone alone."""
        outcomes: list[Any] = []
        with self._writer.begin() as connection:
            for work in works:
                try:
                    with connection.begin_nested():
                        outcomes.append(work(connection))
                except Exception as error:
                    outcomes.append(error)
        return outcomes
