"""Work that must not be cut off once it has begun: what a provider has granted is in this process alone."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")


class Shielded:
    """What runs to its end, whoever stops waiting for it, and the process waits for."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    async def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Do the work; neither a cancellation nor a graceful shutdown cuts it off."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return await asyncio.shield(task)

    async def finish(self) -> None:
        """Wait for all of it; called before the process exits."""
        await asyncio.gather(*self._tasks, return_exceptions=True)
