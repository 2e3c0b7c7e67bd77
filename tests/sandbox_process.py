"""The sandbox as its own process, for tests that need a real OAuth 2 server."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from dev.config import ROOT, SANDBOX_IN_CATALOG

SLUGS = ("sandbox", "own-sandbox")


@asynccontextmanager
async def running_sandbox(folder: Path, **variables: str) -> AsyncIterator[str]:
    """Its address; the port is free. It accepts any port of this machine as the product's."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "sandbox",
        cwd=ROOT,
        env={
            **os.environ,
            "SANDBOX_PORT": "0",
            "SANDBOX_DB": str(folder / "sandbox.sqlite3"),
            "SANDBOX_REDIRECT_URIS": " ".join(f"http://127.0.0.1/api/v1/{slug}/callback" for slug in SLUGS),
            **variables,
        },
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        line = (await process.stdout.readline()).decode()
        yield line.split()[-1]
    finally:
        process.kill()
        await process.wait()


def write_catalog(folder: Path, sandbox: str, **replaced: str) -> Path:
    """The sandbox's catalog entries at its present address."""
    folder.mkdir(exist_ok=True)
    for file in (ROOT / "sandbox" / "catalog").glob("*.yaml"):
        text = file.read_text().replace(SANDBOX_IN_CATALOG, sandbox)
        for old, new in replaced.items():
            text = text.replace(old, new)
        (folder / file.name).write_text(text)
    return folder
