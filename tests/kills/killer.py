"""Kills processes at random, for as long as it runs; the supervisor starts each again."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from contextlib import suppress
from random import Random

from dev.stack import Stack
from tests.kills.product import Product

VICTIMS = ("worker", "api", "temporal")
ALL_AT_ONCE = 0.1  # how often all three are struck in one moment
TWICE = 0.2  # how often the next strike does not wait until the struck are up again
MOST_CHANGES = 6  # between two strikes, so that the run comes to its end on a slow machine, too
PATIENCE = 15.0  # seconds: where nothing changes for so long, the next strike comes all the same
MOMENT = 2.0  # seconds, at most, from a change to the strike


async def kill_at_random(stack: Stack, random: Random, product: Product, killed: Counter[str]) -> None:
    """Until it is cancelled."""
    while True:
        await _changes(product, random.randint(0, MOST_CHANGES))
        await asyncio.sleep(random.uniform(0, MOMENT))
        struck = VICTIMS if random.random() < ALL_AT_ONCE else (random.choice(VICTIMS),)
        before = {name: stack.pids[name] for name in struck}
        for name, pid in before.items():
            with suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
                killed[name] += 1
        if random.random() >= TWICE:
            await asyncio.gather(*(stack.wait_restarted(name, pid) for name, pid in before.items()))


async def _changes(product: Product, count: int) -> None:
    enough = product.made.total() + count
    with suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE):
            while product.made.total() < enough:
                await asyncio.sleep(0.05)
