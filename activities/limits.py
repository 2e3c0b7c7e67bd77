"""Storms and outages: how many requests an application takes at once, and when not to ask at all.

All of it is per process: with several workers an application meets as many times its limit.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import defaultdict
from enum import Enum
from itertools import count
from time import monotonic
from types import TracebackType

from everlink.contract import ConnectionRef
from providers.entry import Limits
from store.credentials import StoredClient
from store.scope import Scope

PATIENCE_SECONDS = 5.0  # how long a request waits for its turn, holding one of the worker's slots
BUSY_SECONDS = 10.0  # when to come back where even the queue is full
FAILURES_TO_OPEN = 5
FIRST_OPEN_SECONDS = 30.0
MAX_OPEN_SECONDS = 300.0
TRIAL_SECONDS = 5.0  # while one request tries whether the endpoint is back, the others come later
FIRST_PAUSE_SECONDS = 10.0
MAX_PAUSE_SECONDS = 300.0
REFUSED_SECONDS = 60.0  # one connection a minute tries the refused client again; a corrected one goes at once


class Why(Enum):
    """Why a request is not sent now."""

    CROWDED = "many requests of this application wait for their turn"  # by our own limit
    DOWN = "the provider does not answer and is left alone for a while"
    PAUSED = "the provider asked for fewer requests"
    REFUSED = "the provider refuses the application's own client"


class NotNow(Exception):
    """The request was not sent; worth another look after so many seconds."""

    def __init__(self, why: Why, seconds: float) -> None:
        super().__init__(why.value)
        self.why = why
        self.seconds = seconds


class Breaker:
    """Fails fast while an endpoint is down: opens after failures in a row, then lets one request through to see.

    While somebody waits, it looks more often; a crowd of waiters still is one request every few seconds.
    """

    def __init__(self) -> None:
        self._failures = 0
        self._tried_at = 0.0
        self._closed_again_at = 0.0
        self._open_for = FIRST_OPEN_SECONDS

    def check(self, *, urgent: bool) -> None:
        """Let a request through, perhaps as the trial; raises `NotNow` while the endpoint is left alone."""
        if self._failures < FAILURES_TO_OPEN:
            return
        now, next_trial = monotonic(), self._tried_at + TRIAL_SECONDS
        ready = next_trial if urgent else max(next_trial, self._closed_again_at)
        if now < ready:
            raise NotNow(Why.DOWN, ready - now)
        self._tried_at = now

    def record(self, *, failed: bool) -> None:
        if not failed:
            self._failures, self._open_for = 0, FIRST_OPEN_SECONDS
            return
        self._failures += 1
        now = monotonic()
        if self._failures < FAILURES_TO_OPEN or now < self._closed_again_at:
            return  # of a request that was on its way, or looked early, nothing new is learnt
        if self._failures > FAILURES_TO_OPEN:
            self._open_for = min(MAX_OPEN_SECONDS, self._open_for * 2)
        self._tried_at, self._closed_again_at = now, now + self._open_for


class Gate:
    """One application's own limit: so many at once, so many a second, and pauses that the provider asks for.

    Who is urgent goes before who is not; otherwise who came first.
    """

    def __init__(self) -> None:
        self._running = 0
        self._queue: list[tuple[bool, int, asyncio.Future[None]]] = []
        self._arrivals = count()
        self._paused_until = 0.0
        self._refused: StoredClient | None = None
        self._refused_until = 0.0
        self._next_start = 0.0

    def check(self, client: StoredClient | None) -> None:
        """Raises `NotNow` while the provider wants to be left alone, or refuses this very client."""
        now = monotonic()
        if self._paused_until > now:
            raise NotNow(Why.PAUSED, self._paused_until - now)
        if self._refused_until > now and client is not None and client.is_same(self._refused):
            raise NotNow(Why.REFUSED, self._refused_until - now)

    def pause(self, seconds: float | None) -> None:
        asked = FIRST_PAUSE_SECONDS if seconds is None else min(seconds, MAX_PAUSE_SECONDS)
        self._paused_until = monotonic() + asked

    def refuse(self, client: StoredClient) -> None:
        self._refused, self._refused_until = client, monotonic() + REFUSED_SECONDS

    async def enter(self, limits: Limits, *, patience: float, urgent: bool) -> None:
        """Take a place, at once or within `patience` seconds; raises `NotNow` where none comes free."""
        if self._running < limits.concurrency and not self._queue:
            self._running += 1
        else:
            await self._wait(limits, patience, urgent)
        if limits.per_second is not None:
            await self._pace(limits.per_second, patience)

    def leave(self) -> None:
        """Give the place to who is next."""
        while self._queue:
            waiter = heapq.heappop(self._queue)[2]
            if not waiter.done():
                waiter.set_result(None)
                return
        self._running -= 1

    async def _wait(self, limits: Limits, patience: float, urgent: bool) -> None:
        if patience <= 0 or len(self._queue) >= 2 * limits.concurrency:
            raise NotNow(Why.CROWDED, BUSY_SECONDS)
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._queue, (not urgent, next(self._arrivals), waiter))
        try:
            async with asyncio.timeout(patience):
                await waiter
        except (TimeoutError, asyncio.CancelledError) as error:
            if waiter.cancelled():
                self._queue = [waiting for waiting in self._queue if waiting[2] is not waiter]
                heapq.heapify(self._queue)
            else:
                self.leave()  # the place came together with the end of the wait
            if isinstance(error, TimeoutError):
                raise NotNow(Why.CROWDED, BUSY_SECONDS) from None
            raise

    async def _pace(self, per_second: float, patience: float) -> None:
        now = monotonic()
        wait = self._next_start - now
        if wait > patience:
            self.leave()
            raise NotNow(Why.CROWDED, wait)
        self._next_start = max(now, self._next_start) + 1 / per_second
        if wait > 0:
            try:
                await asyncio.sleep(wait)
            except asyncio.CancelledError:
                self.leave()
                raise


class Turn:
    """The right to send one request. Left at the end; what the provider said is reported on the way."""

    def __init__(self, gate: Gate, breaker: Breaker) -> None:
        self._gate = gate
        self._breaker = breaker

    def __enter__(self) -> Turn:
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self._gate.leave()

    def answered(self, status: int) -> None:
        self._breaker.record(failed=status >= 500)

    def asked_to_wait(self, seconds: float | None) -> None:
        """The provider wants fewer requests; all of this application hold back, not only the one that was told."""
        self._gate.pause(seconds)

    def failed(self) -> None:
        """No complete answer came."""
        self._breaker.record(failed=True)

    def refused(self, client: StoredClient) -> None:
        """The provider refuses the application itself: asked once a minute, not by every connection."""
        self._gate.refuse(client)


class Limiter:
    """The gates and breakers of one process."""

    def __init__(self) -> None:
        self._gates: defaultdict[tuple[Scope, str], Gate] = defaultdict(Gate)
        self._breakers: defaultdict[str, Breaker] = defaultdict(Breaker)

    async def turn(
        self,
        ref: ConnectionRef,
        limits: Limits,
        *,
        patience: float,
        urgent: bool,
        endpoint: str | None = None,
        client: StoredClient | None = None,
    ) -> Turn:
        """Wait for the right to send one request; one to an `endpoint` goes by its breaker.

        Raises:
            NotNow: nobody may ask now, or no place came free within `patience` seconds.
        """
        gate = self._gates[Scope.of(ref), ref.slug]
        breaker = Breaker() if endpoint is None else self._breakers[endpoint]
        gate.check(client)
        await gate.enter(limits, patience=patience, urgent=urgent)
        try:
            breaker.check(urgent=urgent)
        except NotNow:
            gate.leave()
            raise
        return Turn(gate, breaker)
