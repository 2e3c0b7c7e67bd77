"""Going through a page of things, some at once; one that fails holds up no other."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from temporalio import activity

from everlink.contract import SweepOutcome

AT_ONCE = 10

Item = TypeVar("Item")
log = logging.getLogger("everlink.upkeep")


async def each(
    page: list[Item], mend: Callable[[Item], Awaitable[bool]], cursor: Callable[[Item], str], size: int
) -> SweepOutcome:
    """Mend what is on a page of at most `size`; what cannot be mended now is counted."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(item: Item) -> bool | None:
        async with gate:
            activity.heartbeat()
            try:
                return await mend(item)
            except Exception as error:  # whatever it is: the others must not wait for it
                log.warning("could not mend %s: %s", cursor(item), type(error).__name__)
                return None

    results = await asyncio.gather(*(one(item) for item in page))
    outcome = SweepOutcome(
        after=cursor(page[-1]) if len(page) == size else None,
        mended=results.count(True),
        failed=results.count(None),
    )
    if outcome.mended:
        log.info("%s mended %d", activity.info().activity_type, outcome.mended)
    return outcome
