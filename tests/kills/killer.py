"""Kills processes at random, for as long as it runs; the supervisor starts each again."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from contextlib import suppress
from random import Random

from dev.stack import Stack

VICTIMS = ("worker", "api", "temporal")
ALL_AT_ONCE = 0.1  # how often all three are struck in one moment
TWICE = 0.2  # how often the next strike does not wait until the struck are up again
MOMENT = (0.2, 5.0)  # seconds in which all of them live, or in which one comes up


async def kill_at_random(stack: Stack, random: Random, killed: Counter[str]) -> None:
    """Until it is cancelled. All have to live together for a moment now and then, or nothing would ever change."""
    while True:
        await asyncio.sleep(random.uniform(*MOMENT))
        struck = VICTIMS if random.random() < ALL_AT_ONCE else (random.choice(VICTIMS),)
        before = {name: stack.pids[name] for name in struck}
        for name, pid in before.items():
            with suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
                killed[name] += 1
        if random.random() >= TWICE:
            await asyncio.gather(*(stack.wait_restarted(name, pid) for name, pid in before.items()))
