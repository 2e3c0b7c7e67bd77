"""``python -m tests.chaos``: strike workers at every step of a refresh, on both servers, by both faults."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import shutil
import sys
import tempfile
import time
from math import ceil
from pathlib import Path

from store.database import Database
from store.migrate import migrate
from tests.chaos.report import Results, markdown, offending
from tests.chaos.steps import Fault, Server, Step
from tests.chaos.strike import RunFailed, strike
from tests.chaos.world import new_world

RUNS = [(server, fault) for server in Server for fault in Fault]


async def run_all(folder: Path, connections: int, at_once: int) -> Results:
    """The runs are the same size, at least one connection at each step of each."""
    each = ceil(connections / (len(RUNS) * len(Step)))
    turns = asyncio.Semaphore(at_once)
    template = folder / "everlink.sqlite3"
    database = Database(f"sqlite+aiosqlite:///{template}")
    await migrate(database)
    await database.close()

    async def run(server: Server, fault: Fault) -> None:
        async with turns:
            started, own = time.monotonic(), folder / f"{server}-{fault}"
            own.mkdir()
            url = f"sqlite+aiosqlite:///{shutil.copy(template, own)}"
            async with new_world(own, server, url) as world:
                results[server, fault] = await strike(world, server, fault, each)
            print(f"{server}, {fault}: done in {time.monotonic() - started:.0f} s", file=sys.stderr)

    results: Results = {}
    async with asyncio.TaskGroup() as group:
        for server, fault in RUNS:
            group.create_task(run(server, fault))
    return {key: results[key] for key in RUNS}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--connections", type=int, default=144, help="to strike in all; rounded up")
    parser.add_argument("--at-once", type=int, default=2, help="runs at the same time")
    parser.add_argument("--report", type=Path, default=Path(".everlink/chaos.md"), help="where the table goes")
    given = parser.parse_args()
    logging.getLogger("temporalio").setLevel(logging.ERROR)

    started, folder = time.monotonic(), Path(tempfile.mkdtemp(prefix="everlink-chaos-"))
    try:
        results = asyncio.run(run_all(folder, given.connections, given.at_once))
    except* RunFailed as failures:
        problems = [str(failure) for failure in failures.exceptions]
    else:
        table = markdown(results, time.monotonic() - started)
        given.report.parent.mkdir(parents=True, exist_ok=True)
        given.report.write_text(table)
        print(table)
        problems = offending(results)
    if problems:
        print(*problems, f"the logs are in {folder}", sep="\n", file=sys.stderr)
    else:
        shutil.rmtree(folder)
    return int(bool(problems))


if __name__ == "__main__":
    failed = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(failed)  # the SDK's threads and the interpreter's end do not go together
