"""What was read a moment ago, kept in memory for a moment."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable
from time import monotonic
from typing import Generic, TypeVar

MOST = 10_000  # entries

Value = TypeVar("Value")


class Recent(Generic[Value]):
    """Rows as they were read at most so many seconds ago; none at all where that is 0."""

    def __init__(self, seconds: float, *, clock: Callable[[], float] = monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._kept: dict[Hashable, tuple[float, Value]] = {}
        self._forgotten = 0

    def find(self, key: Hashable) -> Value | None:
        kept = self._kept.get(key)
        return kept[1] if kept is not None and kept[0] > self._clock() else None

    async def read(
        self,
        key: Hashable,
        read: Callable[[], Awaitable[Value | None]],
        worth: Callable[[Value], bool] = lambda _: True,
    ) -> Value | None:
        """Read anew, and keep what is worth it: not what was forgotten while it was being read."""
        until, forgotten = self._clock() + self._seconds, self._forgotten
        value = await read()
        if value is not None and self._seconds and forgotten == self._forgotten and worth(value):
            self._kept.pop(key, None)
            self._kept[key] = until, value
            if len(self._kept) > MOST:
                del self._kept[next(iter(self._kept))]
        return value

    def forget(self, key: Hashable) -> None:
        self._forgotten += 1
        self._kept.pop(key, None)
