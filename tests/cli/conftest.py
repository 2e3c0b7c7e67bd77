"""The command as a process of its own, against the real API with its worker, Temporal, sandbox and store."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from dev.config import ROOT
from tests.api.conftest import Everlink, running, settings_for
from tests.sandbox_process import running_sandbox
from tests.servers import start_dev_server

COMMAND = (sys.executable, "-c", "from everlink.cli import main; main()")


@dataclass(frozen=True)
class Ended:
    """What a command said, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def said(self) -> str:
        return self.out + self.err


@dataclass(frozen=True)
class Cli:
    """The command, for one API and key."""

    url: str
    api_key: str

    async def __call__(self, *arguments: str | Path, typed: str | None = None) -> Ended:
        """Run it to its end; nothing that it says has the key in it."""
        process = await self._start(*arguments, stdin=DEVNULL if typed is None else PIPE)
        async with asyncio.timeout(90):
            out, err = await process.communicate(None if typed is None else typed.encode())
        assert process.returncode is not None
        ended = Ended(process.returncode, out.decode(), err.decode())
        assert "Traceback" not in ended.said and (not self.api_key or self.api_key not in ended.said)
        return ended

    @asynccontextmanager
    async def started(self, *arguments: str | Path, stderr: int = PIPE) -> AsyncIterator[Process]:
        """While it runs; killed in the end, as nothing else could."""
        process = await self._start(*arguments, stdin=DEVNULL, stderr=stderr)
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()

    async def _start(self, *arguments: str | Path, stdin: int, stderr: int = PIPE) -> Process:
        named = {"EVERLINK_URL": self.url, "EVERLINK_API_KEY": self.api_key, "NO_COLOR": "1", "TERM": "xterm"}
        environment = {**os.environ, **named, "PYTHONPATH": str(ROOT)}
        return await asyncio.create_subprocess_exec(
            *COMMAND, *map(str, arguments), cwd=ROOT, env=environment, stdin=stdin, stdout=PIPE, stderr=stderr
        )


@pytest.fixture(scope="session")
async def everlink(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> AsyncIterator[Everlink]:
    """One for all tests here; each test takes an organization of its own."""
    folder = tmp_path_factory.mktemp("cli")
    shutil.copy(sqlite_template, folder / "everlink.sqlite3")
    async with (
        await start_dev_server() as temporal,
        running_sandbox(folder, SANDBOX_ACCESS_TOKEN_SECONDS="3600") as sandbox,
    ):
        address = temporal.client.service_client.config.target_host
        settings = settings_for(f"sqlite+aiosqlite:///{folder}/everlink.sqlite3", folder, sandbox, address)
        async with running(settings, sandbox) as one:
            yield one


@pytest.fixture
async def product(everlink: Everlink) -> httpx.AsyncClient:
    return await everlink.product()


@pytest.fixture
def cli(everlink: Everlink, product: httpx.AsyncClient) -> Cli:
    return Cli(everlink.url, product.headers["x-api-key"])
