"""docs/plugin.md and docs/testing.md: the code passes strict type checking, its tests run. That it waits: tests/api."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import everlink
from dev.config import ROOT
from everlink.testing import FakeEverlink
from tests.docs import plugin_md
from tests.servers import BIN

CONTACTS = json.dumps({"contacts": [{"name": "Amina Abadi"}, {"name": "Bruno Abadi"}]})
HEAD = (
    f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(CONTACTS)}\r\nconnection: close\r\n\r\n"
)


@pytest.fixture
async def provider() -> AsyncIterator[str]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"authorization: Bearer " in head
        writer.write((HEAD + CONTACTS).encode())
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def test_code_passes_strict_type_checking(tmp_path: Path) -> None:
    files = plugin_md.write(tmp_path)
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", f"--cache-dir={tmp_path / 'cache'}", *files]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=150, cwd=tmp_path)
    assert ran.returncode == 0, ran.stdout


async def test_users_tests_run(tmp_path: Path, provider: str) -> None:
    server = f"start_time_skipping(test_server_existing_path={str(BIN / 'temporal-test-server')!r})"
    plugin_md.write(tmp_path, {"https://api.provider.example": provider, "start_time_skipping()": server})
    options = ["-q", "-p", "no:cacheprovider", "-c", "/dev/null", "-o", "asyncio_mode=auto"]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "pytest",
        *options,
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    tests = sum(name.startswith("test_") for name in plugin_md.MODULES)
    assert process.returncode == 0 and f"{tests} passed" in said.decode() and tests >= 3, said.decode()


def test_every_policy_is_told() -> None:
    policies = {name for name in vars(everlink.Wait) if name.isupper()} | {"at_most"}
    assert policies == {"FOREVER", "NEVER", "at_most"}
    assert all(f"| `Wait.{policy}" in plugin_md.TEXT for policy in policies)


def test_pictures_are_there() -> None:
    for line in plugin_md.TEXT.splitlines():
        if line.startswith("!["):
            assert (ROOT / "docs" / line.rpartition("(")[2].removesuffix(")")).is_file(), line


def test_what_is_done_to_a_connection_is_there() -> None:
    told = [*re.findall(r"^\| `(?:await )?(\w+)", plugin_md.TESTING, re.MULTILINE), "status"]
    assert len(told) > 8 and all(hasattr(FakeEverlink().connection("slack"), name) for name in told)
