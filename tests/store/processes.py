"""Several processes that begin their work at one moment."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

ROOT = Path(__file__).parents[2]
START = """
import asyncio, sys
print("ready", flush=True)
sys.stdin.readline()
asyncio.run(main(*sys.argv[1:]))
"""


async def run_together(script: str, *arguments: str, count: int) -> list[str]:
    """Run the script's `main` in that many processes, and answer what each printed."""
    command = (sys.executable, "-c", script + START, *arguments)
    processes = [
        await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdin=PIPE, stdout=PIPE) for _ in range(count)
    ]
    for process in processes:
        assert process.stdout is not None and await process.stdout.readline() == b"ready\n"
    answers = await asyncio.gather(*(process.communicate(b"go\n") for process in processes))
    assert [process.returncode for process in processes] == [0] * count
    return [answer.decode().strip() for answer, _ in answers]
