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
FIRST_GUESS_SECONDS = 1.0
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
        lane.enter()
        started = monotonic()
        try:
            yield
        finally:
            lane.leave(monotonic() - started)


class _Lane:
    def __init__(self) -> None:
        self._running = 0
        self._seconds = FIRST_GUESS_SECONDS  # that a request takes, of late
        self._last_call = 0.0  # when the latest of those who were sent away is to come back

    def enter(self) -> None:
        at_once = AT_ONCE if self._seconds < HANGING_SECONDS else HANGING_AT_ONCE
        if self._running < at_once:
            self._running += 1
            return
        now = monotonic()
        self._last_call = min(max(self._last_call, now) + self._seconds / at_once, now + MAX_WAIT_SECONDS)
        raise Busy(max(self._last_call - now, MIN_WAIT_SECONDS) * uniform(1.0, 1.2))

    def leave(self, seconds: float) -> None:
        self._running -= 1
        self._seconds += (seconds - self._seconds) / AT_ONCE
