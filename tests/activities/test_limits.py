"""Who may ask a provider now: places, order, pauses and the breaker."""

from __future__ import annotations

import asyncio

import pytest

from activities import limits
from activities.limits import FAILURES_TO_OPEN, Limiter, NotNow, Turn, Why
from everlink.contract import AuthType, ConnectionRef, Environment
from providers.entry import Limits
from store.credentials import StoredClient

ENDPOINT = "https://provider.example/token"
TWO = Limits(concurrency=2)


def connection(org: str = "acme", slug: str = "slack") -> ConnectionRef:
    return ConnectionRef(
        org_id=org,
        environment=Environment.TEST,
        connection_id="con_1",
        slug=slug,
        linked_account_id="a",
        identifier="b",
        auth_type=AuthType.OAUTH2,
    )


class Watch:
    """The clock that limits go by."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    made = Watch()
    monkeypatch.setattr(limits, "monotonic", made)
    return made


async def turn(
    limiter: Limiter,
    patience: float = 0.0,
    urgent: bool = False,
    limit: Limits = TWO,
    ref: ConnectionRef | None = None,
    client: StoredClient | None = None,
) -> Turn:
    return await limiter.turn(
        ref or connection(), limit, patience=patience, urgent=urgent, endpoint=ENDPOINT, client=client
    )


async def why_not(limiter: Limiter, **how: object) -> NotNow:
    with pytest.raises(NotNow) as caught:
        await turn(limiter, **how)  # type: ignore[arg-type]
    return caught.value


async def test_so_many_at_once_and_each_application_for_itself() -> None:
    limiter = Limiter()
    first, _ = await turn(limiter), await turn(limiter)
    assert (await why_not(limiter)).why is Why.CROWDED
    await turn(limiter, ref=connection(org="other"))
    await turn(limiter, ref=connection(slug="hubspot"))
    with first:
        pass
    await turn(limiter)


async def test_urgent_goes_first_and_among_equals_who_came_first() -> None:
    limiter, order = Limiter(), []
    held = [await turn(limiter), await turn(limiter)]

    async def wait(name: str, urgent: bool) -> None:
        with await turn(limiter, patience=10, urgent=urgent):
            order.append(name)

    waiting = []
    for name, urgent in (("routine 1", False), ("routine 2", False), ("urgent", True)):
        waiting.append(asyncio.create_task(wait(name, urgent)))
        await asyncio.sleep(0)
    assert (await why_not(limiter)).why is Why.CROWDED  # without patience nobody overtakes the queue
    with held[0]:
        pass
    await asyncio.gather(*waiting)
    assert order == ["urgent", "routine 1", "routine 2"]


async def test_queue_has_an_end() -> None:
    limiter = Limiter()
    for _ in range(2):
        await turn(limiter)
    waiting = [asyncio.create_task(turn(limiter, patience=10)) for _ in range(4)]
    await asyncio.sleep(0)
    assert (await why_not(limiter, patience=10)).why is Why.CROWDED
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


async def test_patience_and_cancellation_leave_no_place_taken_and_none_too_many() -> None:
    limiter = Limiter()
    held = [await turn(limiter), await turn(limiter)]
    assert (await why_not(limiter, patience=0.01)).why is Why.CROWDED
    cancelled, granted = (asyncio.create_task(turn(limiter, patience=10)) for _ in range(2))
    await asyncio.sleep(0)
    with held[0]:
        pass
    cancelled.cancel()  # in the moment in which its place comes
    with await granted:
        pass
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    with held[1]:
        pass
    for _ in range(2):
        await turn(limiter)
    assert (await why_not(limiter)).why is Why.CROWDED


async def test_so_many_a_second(watch: Watch) -> None:
    limiter, pace = Limiter(), Limits(concurrency=8, per_second=2)
    await turn(limiter, limit=pace)
    refused = await why_not(limiter, limit=pace)
    assert (refused.why, refused.seconds) == (Why.CROWDED, 0.5)
    watch.now += 0.5
    await turn(limiter, limit=pace)
    for _ in range(6):
        watch.now += 0.5
        await turn(limiter, limit=pace)


async def test_breaker_opens_after_failures_in_a_row_and_lets_one_see(watch: Watch) -> None:
    limiter = Limiter()

    async def ask(status: int | None, **how: object) -> None:
        with await turn(limiter, **how) as one:  # type: ignore[arg-type]
            one.failed() if status is None else one.answered(status)

    for _ in range(FAILURES_TO_OPEN - 1):
        await ask(None)
    await ask(200)
    for status in (None, 500, 503, None, 502):
        await ask(status)
    other = connection(org="other")
    refused = await why_not(limiter, ref=other)
    assert (refused.why, refused.seconds) == (Why.DOWN, 30.0)  # the endpoint is everybody's
    for expected in (60.0, 120.0, 240.0, 300.0, 300.0):
        watch.now += refused.seconds
        with await turn(limiter) as trial:
            assert (await why_not(limiter, ref=other)).why is Why.DOWN  # one at a time
            trial.failed()
        refused = await why_not(limiter)
        assert refused.seconds == expected
    watch.now += refused.seconds
    await ask(400)  # an answer, whatever it says
    await ask(200)
    await ask(200, ref=other)


async def test_who_waits_looks_more_often_and_a_crowd_of_them_no_more(watch: Watch) -> None:
    limiter = Limiter()
    for _ in range(FAILURES_TO_OPEN):
        with await turn(limiter) as one:
            one.failed()
    refused = await why_not(limiter, urgent=True)
    assert (refused.why, refused.seconds) == (Why.DOWN, limits.TRIAL_SECONDS)
    watch.now += limits.TRIAL_SECONDS
    with await turn(limiter, urgent=True) as one:
        assert (await why_not(limiter, urgent=True)).why is Why.DOWN
        one.answered(200)
    await turn(limiter)  # and what it finds, all know


async def test_trial_that_never_comes_back_holds_nobody_up_for_long(watch: Watch) -> None:
    limiter = Limiter()
    for _ in range(FAILURES_TO_OPEN):
        with await turn(limiter) as one:
            one.failed()
    watch.now += 30
    with await turn(limiter):
        pass  # nothing was sent: another had the lease
    assert (await why_not(limiter)).seconds == limits.TRIAL_SECONDS
    watch.now += limits.TRIAL_SECONDS
    await turn(limiter)


@pytest.mark.parametrize(("asked", "kept"), [(None, 10.0), (0.0, None), (45.0, 45.0), (1e9, 300.0)])
async def test_pause_that_the_provider_asks_for_is_kept_within_bounds(
    watch: Watch, asked: float | None, kept: float | None
) -> None:
    limiter = Limiter()
    with await turn(limiter) as one:
        one.answered(429)
        one.asked_to_wait(asked)
    if kept is not None:
        refused = await why_not(limiter)
        assert (refused.why, refused.seconds) == (Why.PAUSED, kept)
        await turn(limiter, ref=connection(org="other"))  # it was not told to wait
        watch.now += kept
    await turn(limiter)


async def test_refused_client_is_asked_once_a_minute_and_a_changed_one_at_once(watch: Watch) -> None:
    limiter = Limiter()
    wrong = StoredClient("app", "id", b"wrong", None)
    with await turn(limiter, client=wrong) as one:
        one.answered(401)
        one.refused(wrong)
    refused = await why_not(limiter, client=StoredClient("app", "id", b"wrong", "refused"))
    assert (refused.why, refused.seconds) == (Why.REFUSED, 60.0)
    with await turn(limiter, client=StoredClient("app", "id", b"right", "refused")):
        pass
    watch.now += 60
    with await turn(limiter, client=wrong):
        pass
