"""What a worker keeps in memory for a moment."""

from __future__ import annotations

from time import monotonic
from typing import Generic, TypeVar

MOST = 10_000  # entries

Value = TypeVar("Value")


class Kept(Generic[Value]):
    """Values by connection, each for its own time."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[float, Value]] = {}

    def find(self, connection_id: str) -> Value | None:
        kept = self._kept.get(connection_id)
        return kept[1] if kept is not None and kept[0] > monotonic() else None

    def keep(self, connection_id: str, value: Value, seconds: float) -> None:
        self.forget(connection_id)
        self._kept[connection_id] = monotonic() + seconds, value
        if len(self._kept) > MOST:
            del self._kept[next(iter(self._kept))]

    def forget(self, connection_id: str) -> None:
        self._kept.pop(connection_id, None)
