"""What all tests share: real databases and a real Temporal server, each started once."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from functools import cache
from pathlib import Path
from uuid import uuid4

import httpx
import httpx._transports.default
import pytest
from temporalio.testing import WorkflowEnvironment

from dev.config import free_port
from store.database import Database
from store.migrate import migrate
from tests.postgres import Postgres, binaries
from tests.servers import start_dev_server, start_skipping

NOTHING_SKIPPED = "EVERLINK_TEST_NOTHING_SKIPPED"
WHOLE = ("tests/e2e/", "tests/cli/", "tests/doctor/", "tests/bench/", "tests/faults/")
SLOW = (*WHOLE, "tests/conformance/")

# What tests write goes with them: it stays in memory, where there is room, and a database of a test's own is made soon.
SHARED_MEMORY, ENOUGH = Path("/dev/shm"), 4 * 1024**3
if SHARED_MEMORY.is_dir() and shutil.disk_usage(SHARED_MEMORY).free > ENOUGH:
    tempfile.tempdir = str(SHARED_MEMORY)

# Each client reads the certificates of the world, and the tests make thousands of clients that speak to this machine.
httpx._transports.default.create_ssl_context = cache(httpx.create_ssl_context)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """In CI a skipped test is a failure: everything that the tests need is there."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get(NOTHING_SKIPPED) and reporter is not None and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files of few tests that take long come first: at the end, one process would wait for the other."""
    items.sort(key=lambda item: not item.nodeid.startswith(SLOW))
    for item in items:
        if item.nodeid.startswith(WHOLE):
            item.add_marker("e2e")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if config.getoption("markexpr") == "not long and not e2e":
        terminalreporter.write_line("Left out: the whole of Everlink, mostly in a real browser (make e2e),")
        terminalreporter.write_line("and the tests that take half a minute or more each (make long)")


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server with a migrated database `migrated` to copy from."""
    programs = binaries()
    if programs is None:
        pytest.skip("PostgreSQL is not installed")
    server = Postgres(programs)
    server.start()
    server.create("migrated")
    asyncio.run(_migrated(server.url("migrated")))
    yield server
    server.stop()
    server.remove()


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("template") / "everlink.sqlite3"
    asyncio.run(_migrated(f"sqlite+aiosqlite:///{file}"))
    return file


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    """A migrated SQLite database of this test's own."""
    shutil.copy(sqlite_template, tmp_path / "everlink.sqlite3")
    return f"sqlite+aiosqlite:///{tmp_path}/everlink.sqlite3"


@pytest.fixture
def postgres_url(postgres: Postgres) -> Iterator[str]:
    """A migrated PostgreSQL database of this test's own."""
    name = f"test_{uuid4().hex}"
    postgres.create(name, "migrated")
    yield postgres.url(name)
    postgres.drop(name)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """Both, one after the other."""
    url: str = request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url")
    return url


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = Database(database_url)
    yield opened
    await opened.close()


@pytest.fixture(scope="session")
def temporal_http() -> str:
    """Where the dev server speaks HTTP."""
    return f"http://127.0.0.1:{free_port()}"


@pytest.fixture(scope="session")
async def temporal(temporal_http: str) -> AsyncIterator[WorkflowEnvironment]:
    """The real dev server, with the worker's converter."""
    async with await start_dev_server("--http-port", temporal_http.rpartition(":")[2]) as environment:
        yield environment


@pytest.fixture
async def skipping() -> AsyncIterator[WorkflowEnvironment]:
    """The time-skipping server, one for each test: a test's clock is its own."""
    async with await start_skipping() as environment:
        yield environment


async def _migrated(url: str) -> None:
    database = Database(url)
    await migrate(database)
    await database.close()
