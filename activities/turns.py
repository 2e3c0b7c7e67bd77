"""Whose turn it is at a webhook endpoint: one that hangs holds few of the worker's slots, and delays no other.

All of it is per process, as in `activities/limits.py`. Who finds an endpoint busy does not wait for it here, holding a
slot, but is told when to come back: one after the other, about as fast as the endpoint takes what it is sent.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from random import uniform
from time import monotonic

AT_ONCE = 10
HANGING_AT_ONCE = 2  # many that hang at once must not take all slots either
HANGING_SECONDS = 15.0
FIRST_GUESS_SECONDS = 0.5
MEAN_OF = 10  # requests
EAGERNESS = 1.5  # they come back a little faster than it answers, lest it be idle while they wait
MIN_WAIT_SECONDS, MAX_WAIT_SECONDS = 1.0, 300.0


class Busy(Exception):
    """The endpoint has enough on its hands; worth another look after so many seconds."""

    def __init__(self, seconds: float) -> None:
        super().__init__("the endpoint has enough on its hands")
        self.seconds = seconds


class Turns:
    """The endpoints that one process sends to."""

    def __init__(self) -> None:
        self._lanes: defaultdict[str, _Lane] = defaultdict(_Lane)

    @contextmanager
    def turn(self, endpoint_id: str) -> Iterator[None]:
        """The right to send one request.

        Raises:
            Busy: so many are on their way to this endpoint already.
        """
        lane = self._lanes[endpoint_id]
        began = lane.enter()
        try:
            yield
        finally:
            lane.leave(began)


class _Lane:
    def __init__(self) -> None:
        self._under_way: list[float] = []  # when they began
        self._mean = FIRST_GUESS_SECONDS  # that a request takes, of late
        self._answered = 0
        self._waiting = 0.0  # who was sent away, and cannot have had a turn since then
        self._counted_at = 0.0

    def enter(self) -> float:
        now = monotonic()
        oldest = now - self._under_way[0] if self._under_way else 0.0
        seconds = max(self._mean, oldest)  # one that hangs tells it before it ends
        at_once = AT_ONCE if seconds < HANGING_SECONDS else HANGING_AT_ONCE
        if len(self._under_way) < at_once:
            self._under_way.append(now)
            return now
        per_second = EAGERNESS * at_once / seconds
        self._waiting = max(0.0, self._waiting - (now - self._counted_at) * per_second) + 1
        self._waiting = min(self._waiting, (MAX_WAIT_SECONDS - MIN_WAIT_SECONDS) * per_second)
        self._counted_at = now
        raise Busy((MIN_WAIT_SECONDS + self._waiting / per_second) * uniform(1.0, 1.2))

    def leave(self, began: float) -> None:
        self._under_way.remove(began)
        self._answered += 1
        self._mean += (monotonic() - began - self._mean) / min(self._answered, MEAN_OF)
