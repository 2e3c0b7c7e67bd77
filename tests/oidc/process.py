"""The npm package `oidc-provider` as its own process: a second real server, which none of us wrote."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

HERE = Path(__file__).parent
CLIENT = {"client_id": "everlink-oidc", "client_secret": "oidc-secret"}


def install(folder: Path) -> None:
    """Get the packages of the lock file with npm, which sees that they are the ones we know.

    Skips the test where npm is not there or does not get them.
    """
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed")
    for name in ("package.json", "package-lock.json", "server.mjs"):
        shutil.copy(HERE / name, folder)
    command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    try:
        subprocess.run(command, capture_output=True, timeout=120, cwd=folder, check=True)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        pytest.skip("npm does not get oidc-provider")


@asynccontextmanager
async def running_oidc(folder: Path, redirect_uri: str) -> AsyncIterator[str]:
    """Its address, which is its issuer; the port is free."""
    install(folder)
    process = await asyncio.create_subprocess_exec(
        "node",
        "server.mjs",
        cwd=folder,
        env={**os.environ, "CLIENT_SECRET": CLIENT["client_secret"], "REDIRECT_URI": redirect_uri},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdout is not None
    try:
        yield (await process.stdout.readline()).decode().strip()
    finally:
        process.kill()
        await process.wait()
