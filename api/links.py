"""Links for customers whose connection is dead: a product that asks again and again is given the same one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from time import monotonic
from typing import Any

KEPT_SECONDS = 300.0  # a third of a link's life: what is answered is good for ten minutes yet
MOST = 10_000


class Links:
    """One link for each connection as it is now; after its next transition it is another."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, int], tuple[float, asyncio.Task[str]]] = {}

    async def get(self, key: tuple[str, int], make: Callable[[], Coroutine[Any, Any, str]]) -> str:
        """The link of a connection's id and sequence, made where there is none. Who asks meanwhile waits for it."""
        until, task = self._kept.get(key, (0.0, None))
        if task is None or until < monotonic():
            self._kept.pop(key, None)
            task = asyncio.create_task(make())
            self._kept[key] = monotonic() + KEPT_SECONDS, task
            if len(self._kept) > MOST:
                del self._kept[next(iter(self._kept))]
        try:
            return await asyncio.shield(task)
        except Exception:
            self._kept.pop(key, None)
            raise
