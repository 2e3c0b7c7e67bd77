"""One run: a worker is struck while each of its connections holds at a step, and another brings them to rest."""

from __future__ import annotations

import asyncio
import signal
import time
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from api.lifecycle import Grant, Target, establish
from providers.credential import OAuthCredential
from providers.identity import Whose
from store.database import utc_now
from tests.chaos.judge import Struck, judge, remember, rests
from tests.chaos.steps import Fault, Server, Step
from tests.chaos.victim import GOING_ON, HOLDING, READY
from tests.chaos.world import World

READY_WITHIN = 60.0
DUE_SOON = 6.0  # seconds to live: long enough for `connect` to be answered before the refresh is due
HOLD_WITHIN = 60.0
OLDEST_HOLD = 18.0  # a token request's deadline is 20 s, and none may have passed before the strike
REST_WITHIN = 300.0
END_WITHIN = 90.0


class RunFailed(Exception):
    """The run itself did not come about, which says nothing about the product."""


async def strike(world: World, server: Server, fault: Fault, each: int) -> list[Struck]:
    """Strike this many connections at each step; answers what became of them."""
    steps = [step for step in Step for _ in range(each)]
    grants = await world.grants(len(steps))
    async with _process(world, "victim", "-m", "tests.chaos.victim", str(world.told)) as victim:
        await _tells(world, READY, 1, READY_WITHIN)
        struck = await asyncio.gather(
            *(_established(world, step, f"{step}-{number}", grants[number]) for number, step in enumerate(steps))
        )
        await _all_hold(world, len(struck))
        victim.send_signal(signal.SIGKILL if fault is Fault.KILL else signal.SIGSTOP)
        async with _process(world, "rescuer", "worker.py"):
            await _all_rest(world, struck)
            if fault is Fault.STOP:
                await _goes_on(world, victim, struck)
            await asyncio.gather(*(judge(world, server, one) for one in struck))
    return struck


@asynccontextmanager
async def _process(world: World, name: str, *command: str) -> AsyncIterator[Process]:
    process = await world.worker(name, *command)
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _tells(world: World, word: str, count: int, within: float) -> None:
    """Wait until the victim has told so many lines that begin with this word."""
    until = time.monotonic() + within
    while _told(world, word) < count:
        if time.monotonic() > until:
            raise RunFailed(f"{world.folder.name}: {_told(world, word)} of {count} lines {word!r} came in time")
        await asyncio.sleep(0.05)


def _told(world: World, word: str) -> int:
    lines = world.told.read_text().splitlines() if world.told.exists() else []
    return sum(line.startswith(word) for line in lines)


async def _established(world: World, step: Step, account: str, credential: OAuthCredential) -> Struck:
    """A connection of this linked account, whose refresh is due soon."""
    await world.made.tenants.save_linked_account(world.scope, account, {}, utc_now())
    grant = Grant(credential, renewable=True, expires_in=DUE_SOON, whose=Whose(account))
    view = await establish(world.made, Target(world.scope, account), world.entry, grant)
    return Struck(view.connection_id, step)


async def _all_hold(world: World, count: int) -> None:
    await _tells(world, HOLDING, 1, HOLD_WITHIN)
    first = time.monotonic()
    await _tells(world, HOLDING, count, HOLD_WITHIN)
    if time.monotonic() - first > OLDEST_HOLD or _told(world, GOING_ON):
        raise RunFailed(f"{world.folder.name}: the machine is too slow, the first hold ended before the last began")


async def _all_rest(world: World, struck: list[Struck]) -> None:
    """Wait; what does not come to rest is judged as it is."""
    waiting, until = struck, time.monotonic() + REST_WITHIN
    while waiting and time.monotonic() < until:
        await asyncio.sleep(1)
        found = await asyncio.gather(*(rests(world, one) for one in waiting))
        waiting = [one for one, resting in zip(waiting, found, strict=True) if not resting]


async def _goes_on(world: World, victim: Process, struck: list[Struck]) -> None:
    """Wake the stopped victim, and let it end whatever it had begun."""
    await remember(world, struck)
    victim.send_signal(signal.SIGCONT)
    await _tells(world, GOING_ON, len(struck), END_WITHIN)
    victim.terminate()
    try:
        await asyncio.wait_for(victim.wait(), END_WITHIN)
    except TimeoutError:
        raise RunFailed("the woken victim did not end") from None
