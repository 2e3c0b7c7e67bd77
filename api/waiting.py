"""Long polls: who waits for something to change, a connection, say.

One watcher for all who wait in a process asks the store about all that is waited for, in one statement, however many
wait; it stops when nobody does. Temporal is not asked: a crowd of waiting products costs it nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from fastapi import Request

from api.errors import unavailable
from store.database import StoreUnavailable

MOST = 2000  # who wait at once in one process
EVERY_SECONDS = 0.5

Seen = TypeVar("Seen")  # how something stands


@dataclass(frozen=True, eq=False)
class Waiter(Generic[Seen]):
    key: str
    is_enough: Callable[[Seen], bool]
    reached: asyncio.Event


class Waiting(Generic[Seen]):
    """Everybody who waits for things of one kind in this process, and the one task that watches for them.

    `look` answers how the things of these keys stand, of those that there are.
    """

    def __init__(self, look: Callable[[Collection[str]], Awaitable[Mapping[str, Seen]]]) -> None:
        self._look = look
        self._waiters: set[Waiter[Seen]] = set()
        self._watching: asyncio.Task[None] | None = None

    @property
    def is_watching(self) -> bool:
        return self._watching is not None and not self._watching.done()

    @contextmanager
    def place(self, key: str, is_enough: Callable[[Seen], bool]) -> Iterator[asyncio.Event]:
        """A place among those who wait; the event is set once what the store has is enough.

        Raises:
            ApiError: 503 where too many wait already.
        """
        if len(self._waiters) >= MOST:
            raise unavailable("too_many_waiting", "too many requests wait here; try again, or at another process")
        waiter = Waiter(key, is_enough, asyncio.Event())
        self._waiters.add(waiter)
        if not self.is_watching:
            self._watching = asyncio.create_task(self._watch())
        try:
            yield waiter.reached
        finally:
            self._waiters.discard(waiter)

    async def close(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
            with suppress(asyncio.CancelledError):
                await self._watching

    async def _watch(self) -> None:
        while self._waiters:
            with suppress(StoreUnavailable):  # they wait on: it may be back before their time is over
                seen = await self._look({waiter.key for waiter in self._waiters})
                for waiter in self._waiters:
                    found = seen.get(waiter.key)
                    if found is not None and waiter.is_enough(found):
                        waiter.reached.set()
            await asyncio.sleep(EVERY_SECONDS)


async def first_of(*waits: Coroutine[Any, Any, object], timeout: float) -> None:
    """Until one of them is over, or the time is."""
    tasks = [asyncio.create_task(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()


async def hung_up(request: Request) -> None:
    """Until the client has left: its place is another's then."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
