"""Child processes, and what they cost as the kernel tells it."""

from __future__ import annotations

import asyncio
import json
import os
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


class Child:
    """A process that reads lines and answers each by one."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self.pid = process.pid

    async def line(self) -> str:
        assert self._process.stdout is not None
        text = (await self._process.stdout.readline()).decode().strip()
        if not text:
            raise RuntimeError(f"a process of the bench ended: exit {await self._process.wait()}")
        return text

    async def ask(self, question: str) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{question}\n".encode())
        answer: dict[str, Any] = json.loads(await self.line())
        return answer


@asynccontextmanager
async def running(*command: str, env: Mapping[str, str] | None = None, log: Path | None = None) -> AsyncIterator[Child]:
    """A process for as long as it is needed; its input's end tells it to stop, SIGTERM what reads none."""
    with (log or Path(os.devnull)).open("ab") as errors:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=PIPE,
            stdout=PIPE if log is None else errors,
            stderr=None if log is None else errors,
            env={**os.environ, **(env or {})},
        )
    try:
        yield Child(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        if log is not None:
            with suppress(ProcessLookupError):
                process.terminate()
        try:
            async with asyncio.timeout(60):
                await process.wait()
        except TimeoutError:
            process.kill()


def cpu_seconds(pid: int) -> float:
    """CPU time that a process and its children have used."""
    fields = _stat(pid)
    used = int(fields[11]) + int(fields[12])
    return used / TICKS + sum(cpu_seconds(child) for child in _children(pid))


def resident(pid: int) -> int:
    """Bytes of memory that a process holds."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE


def busy_share(before: list[int], after: list[int]) -> float:
    """How much of all cores was in use between two readings of `core_times`."""
    spent = [later - earlier for earlier, later in zip(before, after, strict=True)]
    return 1 - (spent[3] + spent[4]) / sum(spent)  # idle, and waiting for the disk


def core_times() -> list[int]:
    return [int(text) for text in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]


def _stat(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()


def _children(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(FileNotFoundError):
            found += [int(child) for child in (task / "children").read_text().split()]
    return found
