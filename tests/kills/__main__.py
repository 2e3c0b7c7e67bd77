"""``python -m tests.kills``: worker, API and Temporal are killed at random while connections change; no event is lost.

A product makes changes of state over the real API, and sends again what it gets no answer to. Its listener fails half
of the time. Every process is killed with -9 and started again by a supervisor, all on the files that they had. At the
end the judge compares what arrived with the store.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from random import Random

import httpx

from dev.config import Process, StackConfig
from dev.stack import Stack
from sandbox.customer import Customer
from store.database import Database
from tests.kills.endpoints import Course, change_midway, register
from tests.kills.judge import events, problems, under_way
from tests.kills.killer import kill_at_random
from tests.kills.listener import Answer, Listener
from tests.kills.product import Product

MOST_AT_ONCE = 16  # customers
CHANGES_OF_ONE = 5  # or more, so that each has time to leave
REST_WITHIN = 240.0  # seconds for what is under way at the end


def processes(config: StackConfig) -> list[Process]:
    """Those of `make run`, all of them started again when they die, with a worker of little patience."""

    def hardened(process: Process) -> Process:
        match process.name:
            case "worker":
                return replace(process, command=[sys.executable, "-m", "tests.kills.worker"])
            case "temporal":
                return replace(process, restart=True)
            case _:
                return process

    return [hardened(process) for process in config.processes()]


async def run(folder: Path, changes: int, seed: int) -> tuple[str, list[str]]:
    """What was measured, as a table, and what is not as it must be."""
    config, killed = StackConfig.on_free_ports(folder), Counter[str]()
    at_once = max(1, min(MOST_AT_ONCE, changes // CHANGES_OF_ONE))
    log = (folder / "supervisor.log").open("w")
    database = Database(f"sqlite+aiosqlite:///{folder}/everlink.sqlite3")
    async with Stack(config, processes(config), say=lambda line: print(line, file=log, flush=True)) as stack:
        headers = {"x-api-key": stack.seed["api_key"]}
        async with (
            Listener(Random(seed)) as listener,
            Customer(config.addresses.sandbox, "ada", "ada-password") as ada,
            httpx.AsyncClient(base_url=config.addresses.api, headers=headers) as http,
        ):
            product = Product(http, Random(seed), (await ada.create_key())[1], changes)
            endpoints = await register(product, listener)
            started = time.monotonic()
            killing = asyncio.create_task(kill_at_random(stack, Random(seed), product, killed))
            try:
                await asyncio.gather(product.make_changes(at_once), change_midway(product, endpoints))
            finally:
                killing.cancel()
            changed = time.monotonic()
            with suppress(TimeoutError):
                async with asyncio.timeout(REST_WITHIN):
                    while await under_way(database):
                        await asyncio.sleep(0.5)
            rested = time.monotonic()
            found = await problems(database, product, endpoints, listener)
            rows = {
                "changes of state": f"{product.made.total()}: {json.dumps(product.made)}",
                "events": len(await events(database)),
                "killed with -9": ", ".join(f"{name} {count}" for name, count in sorted(killed.items())),
                "requests at the listener": listener.answered.total(),
                "of which failed": listener.answered.total() - listener.answered[Answer.TAKEN],
                **{f"arrived at the endpoint that {course}": _arrived(listener, course) for course in Course},
                "seconds of changes and kills": round(changed - started),
                "seconds until every delivery had ended": round(rested - changed),
            }
    await database.close()
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows.items())]) + "\n", found


def _arrived(listener: Listener, course: Course) -> str:
    ids = [arrival.id for arrival in listener.arrivals.get(course.path, [])]
    return f"{len(ids)} requests, {len(set(ids))} events"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.kills", description=__doc__)
    parser.add_argument("--changes", type=int, default=500, help="of connections' states, to make")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000, help="of what is left to chance")
    parser.add_argument("--report", type=Path, default=Path(".everlink/kills.md"), help="where the table goes")
    given = parser.parse_args()

    folder = Path(tempfile.mkdtemp(prefix="everlink-kills-"))
    table, found = asyncio.run(run(folder, given.changes, given.seed))
    given.report.parent.mkdir(parents=True, exist_ok=True)
    given.report.write_text(table)
    print(f"seed {given.seed}", table, *found, sep="\n")
    if found:
        print(f"the logs are in {folder}", file=sys.stderr)
    else:
        shutil.rmtree(folder)
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
