"""How many requests are on their way to one endpoint, and when who was sent away comes back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack, suppress
from datetime import timedelta
from time import monotonic

import pytest

from activities import turns as module
from activities.turns import AT_ONCE, EAGERNESS, HANGING_AT_ONCE, MAX_WAIT_SECONDS, Busy, Turns
from everlink.contract import AttemptOutcome
from providers.guard import TargetGuard
from providers.http import make_client
from store.database import Database, utc_now
from store.tables import DELIVERIES, DELIVERY_ATTEMPTS
from tests.activities.sending import ENDPOINT, Sending, sending_on
from tests.providers.server import Server, answering_with

SENT_AWAY = 500


class Time:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    made = Time()
    monkeypatch.setattr(module, "monotonic", made)
    return made


def take(turns: Turns, stack: ExitStack, endpoint: str = "we_1") -> int:
    """As many turns as there are."""
    taken = 0
    with suppress(Busy):
        while True:
            stack.enter_context(turns.turn(endpoint))
            taken += 1
    return taken


def test_one_endpoint_has_ten_at_once_and_another_its_own_ten() -> None:
    turns = Turns()
    with ExitStack() as stack:
        assert take(turns, stack) == AT_ONCE == 10
        assert take(turns, stack, "we_2") == AT_ONCE
    with ExitStack() as stack:
        assert take(turns, stack) == AT_ONCE


def test_turn_is_left_by_an_error() -> None:
    turns = Turns()
    for _ in range(2 * AT_ONCE):
        with pytest.raises(ZeroDivisionError), turns.turn("we_1"):
            raise ZeroDivisionError
    with ExitStack() as stack:
        assert take(turns, stack) == AT_ONCE


def test_endpoint_that_hangs_time_and_again_has_fewer_until_it_answers(time: Time) -> None:
    turns = Turns()
    for seconds, expected in ((20.0, HANGING_AT_ONCE), (0.1, AT_ONCE)):
        for _ in range(20):
            with turns.turn("we_1"):
                time.now += seconds
        with ExitStack() as stack:
            assert take(turns, stack) == expected


def waits(turns: Turns) -> list[float]:
    """Of those who are sent away together."""
    seconds = []
    for _ in range(SENT_AWAY):
        with pytest.raises(Busy) as busy, turns.turn("we_1"):
            pass
        seconds.append(busy.value.seconds)
    return seconds


def test_who_is_sent_away_comes_back_as_fast_as_the_endpoint_answers(time: Time) -> None:
    turns = Turns()
    for _ in range(50):
        with turns.turn("we_1"):
            time.now += 0.1
    with ExitStack() as stack:
        take(turns, stack)
        seconds = waits(turns)
    assert all(each >= 1.0 for each in seconds) and len(set(seconds)) == SENT_AWAY
    assert SENT_AWAY * 0.1 / AT_ONCE / EAGERNESS <= max(seconds) < 10


def test_nobody_waits_longer_than_some_minutes(time: Time) -> None:
    turns = Turns()
    for _ in range(50):
        with turns.turn("we_1"):
            time.now += 20.0
    with ExitStack() as stack:
        take(turns, stack)
        seconds = waits(turns)
    assert max(seconds) <= 1.2 * MAX_WAIT_SECONDS
    assert sum(each < 60 for each in seconds) <= 2 * 60 / 20.0 * HANGING_AT_ONCE  # not all at once again


def test_first_request_that_hangs_spreads_who_waits_before_it_ends(time: Time) -> None:
    turns = Turns()
    with ExitStack() as stack:
        take(turns, stack)
        time.now += 12.0
        seconds = waits(turns)
    assert min(seconds) < 5 and sum(each < 60 for each in seconds) < 100


@pytest.fixture
async def sending(sqlite_url: str) -> AsyncIterator[Sending]:
    database = Database(sqlite_url)
    async with make_client(TargetGuard(["127.0.0.1"])) as http:
        yield await sending_on(database, http)
    await database.close()


async def test_delivery_to_a_busy_endpoint_is_put_off_and_no_attempt(sending: Sending) -> None:
    server = Server(answering_with(b""))
    async with server as url:
        await sending.subscribe(url)
        task = await sending.due()
        with ExitStack() as stack:
            take(sending.shared.turns, stack, ENDPOINT)
            before, started = utc_now(), monotonic()
            outcome = await sending.deliver(task)
            assert monotonic() - started < 5 and server.connections == 0
        assert outcome.deferred and outcome.retry_after is not None and not outcome.stop and not outcome.closed
        row = await sending.delivery()
        assert (row.status, row.attempts) == ("scheduled", 0) and await sending.rows(DELIVERY_ATTEMPTS) == []
        assert row.next_attempt_at >= before + timedelta(seconds=outcome.wait(0.0))  # upkeep leaves it alone
        assert (await sending.endpoint()).failing_since is None
        assert (await sending.deliver(task)).delivered


async def test_crowd_at_one_endpoint_leaves_another_to_itself(sending: Sending) -> None:
    """As the worker does it: activities of one process, at once."""
    release, hanging = asyncio.Event(), 0

    async def hang(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal hanging
        hanging += 1
        await release.wait()
        writer.close()

    async with Server(hang) as slow, Server(answering_with(b"")) as well:
        await sending.subscribe(slow)
        crowd = [await sending.due() for _ in range(3 * AT_ONCE)]
        attempts = [asyncio.ensure_future(sending.deliver(task)) for task in crowd]
        async with asyncio.timeout(20):
            while hanging < AT_ONCE or sum(attempt.done() for attempt in attempts) < 2 * AT_ONCE:
                await asyncio.sleep(0.01)
        assert hanging == AT_ONCE
        assert all(attempt.result().deferred for attempt in attempts if attempt.done())
        await sending.subscribe(well, "we_2")
        event = await sending.due()
        other = event.model_copy(update={"delivery": event.delivery.model_copy(update={"endpoint_id": "we_2"})})
        assert await sending.deliver(other) == AttemptOutcome(delivered=True, closed=True, note="HTTP 200")
        release.set()
        await asyncio.gather(*attempts)
    statuses = [row.status for row in await sending.rows(DELIVERIES)]
    assert statuses.count("delivered") == 1
