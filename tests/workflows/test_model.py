"""Random lives of a connection, each step compared with a model of the states.

Longer by hand: `python -m tests.workflows.test_model 400` lives 400, other ones each time.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from everlink.contract import (
    Lifetimes,
    ProviderEventKind,
    ReauthReason,
)
from tests.servers import start_skipping
from tests.workflows.lives import DAY, HOUR, MINUTE, Connection, Message, Step
from tests.workflows.model import Answer, Hold
from tests.workflows.provider import HOURLY, KEY

IN_TESTS = settings(
    max_examples=40, deadline=None, derandomize=True, database=None,
    phases=[Phase.explicit, Phase.generate], suppress_health_check=list(HealthCheck),
)  # fmt: skip
BY_HAND = settings(IN_TESTS, derandomize=False, print_blob=True)

MOST_STEPS = 16


refresh_answers = st.sampled_from([answer for answer in Answer if answer is not Answer.UNSUPPORTED])
probe_answers = st.sampled_from([Answer.OK, Answer.DEAD, Answer.UNSUPPORTED, Answer.TRANSIENT])
# What a provider can say; that an application was deleted is said by its organization.
reasons = st.sampled_from([reason for reason in ReauthReason if reason is not ReauthReason.APPLICATION_DELETED])
durations = st.sampled_from([5 * MINUTE, 20 * MINUTE, HOUR, 4 * HOUR, 12 * HOUR, 2 * DAY])

messages = st.sampled_from(Message)


def step(of: Callable[..., Any], **arguments: st.SearchStrategy[Any]) -> st.SearchStrategy[Step]:
    return st.tuples(st.just(of), st.fixed_dictionaries(arguments))


ANSWERS = {"refresh": refresh_answers, "probe": probe_answers}
STEPS = st.one_of(
    step(Connection.reconnect, how=st.sampled_from(["at once", "later", "later", "what was untold"])),
    step(Connection.do_what_changes_nothing, what=st.sampled_from(["connect", "refresh", "signal", "replay"])),
    step(Connection.force_a_refresh, **ANSWERS, reason=reasons),
    step(Connection.let_time_pass, **ANSWERS, reason=reasons, duration=durations),
    step(Connection.report_a_refusal, **ANSWERS, reason=reasons, behind=st.sampled_from([None, 0, 1])),
    step(
        Connection.hear_from_the_provider,
        **ANSWERS,
        kind=st.sampled_from(ProviderEventKind),
        outdated=st.booleans(),
    ),
    step(Connection.hear_of_a_late_success, **ANSWERS),
    step(Connection.overtake_a_refresh, **ANSWERS, message=messages, hold=st.sampled_from(Hold)),
    step(Connection.interrupt_a_round, **ANSWERS, message=messages),
    step(Connection.lose_the_application),
    step(Connection.disconnect),
)


REVOKED = ReauthReason.ACCESS_REVOKED
# What random lives have found, kept.
LATE_NEWS_OF_A_REPLACED_GRANT: list[Step] = [
    (Connection.reconnect, {"how": "later"}),
    (Connection.force_a_refresh, {"refresh": Answer.DEAD, "probe": Answer.OK, "reason": REVOKED}),
    (Connection.force_a_refresh, {"refresh": Answer.OK, "probe": Answer.OK, "reason": REVOKED}),
    (Connection.force_a_refresh, {"refresh": Answer.DEAD, "probe": Answer.OK, "reason": REVOKED}),
    (Connection.reconnect, {"how": "what was untold"}),
]
FLAGGED_WHILE_THE_PROVIDER_GRANTS: list[Step] = [
    (
        Connection.overtake_a_refresh,
        {"message": Message.REVOKED, "hold": Hold.REMOTE, "refresh": Answer.OK, "probe": Answer.DEAD},
    ),
]
ENDED_WHILE_THE_PROVIDER_GRANTS: list[Step] = [
    (
        Connection.overtake_a_refresh,
        {"message": Message.DISCONNECT, "hold": Hold.REMOTE, "refresh": Answer.OK, "probe": Answer.OK},
    ),
]
FORCED_DURING_A_ROUND: list[Step] = [
    (Connection.interrupt_a_round, {"message": Message.REFRESH, "refresh": Answer.OK, "probe": Answer.OK}),
]
ONLY_THE_PROBE_IS_DOWN: list[Step] = [
    (
        Connection.report_a_refusal,
        {"behind": 0, "refresh": Answer.OK, "probe": Answer.TRANSIENT, "reason": REVOKED},
    ),
    (
        Connection.let_time_pass,
        {"duration": 4 * HOUR, "refresh": Answer.OK, "probe": Answer.TRANSIENT, "reason": REVOKED},
    ),
]
A_ROUND_THAT_GOES_ON_WHILE_FLAGGED: list[Step] = [
    (Connection.force_a_refresh, {"refresh": Answer.DEAD, "probe": Answer.OK, "reason": REVOKED}),
    (Connection.force_a_refresh, {"refresh": Answer.TRANSIENT, "probe": Answer.OK, "reason": REVOKED}),
    (
        Connection.let_time_pass,
        {"duration": 4 * HOUR, "refresh": Answer.DEAD, "probe": Answer.OK, "reason": REVOKED},
    ),
]
FLAGGED_AND_THEN_WITHOUT_ITS_APPLICATION: list[Step] = [
    (Connection.force_a_refresh, {"refresh": Answer.DEAD, "probe": Answer.OK, "reason": REVOKED}),
    (Connection.lose_the_application, {}),
    (Connection.force_a_refresh, {"refresh": Answer.OK, "probe": Answer.OK, "reason": REVOKED}),
    (Connection.hear_of_a_late_success, {"refresh": Answer.OK, "probe": Answer.OK}),
    (Connection.reconnect, {"how": "at once"}),
]
A_PROBE_THAT_IS_NO_MORE: list[Step] = [
    (Connection.force_a_refresh, {"refresh": Answer.OK, "probe": Answer.DEAD, "reason": REVOKED}),
    (Connection.force_a_refresh, {"refresh": Answer.OK, "probe": Answer.UNSUPPORTED, "reason": REVOKED}),
]

A_GRANT_THAT_WAS_NOT_TOLD_AND_A_PROBE_THAT_IS_DOWN: list[Step] = [
    (Connection.reconnect, {"how": "later"}),
    (
        Connection.let_time_pass,
        {"duration": 2 * DAY, "refresh": Answer.TRANSIENT, "probe": Answer.TRANSIENT, "reason": REVOKED},
    ),
]


async def _live(lifetimes: Lifetimes, steps: list[Step]) -> None:
    async with await start_skipping() as server:  # one for each, since a server's time is shared
        await Connection(server, lifetimes).live(steps)


def live_random_lives(how: settings) -> None:
    @how
    @given(
        lifetimes=st.sampled_from([HOURLY, HOURLY, KEY]),
        steps=st.lists(STEPS, min_size=MOST_STEPS // 2, max_size=MOST_STEPS),
    )
    @example(HOURLY, LATE_NEWS_OF_A_REPLACED_GRANT)
    @example(HOURLY, FLAGGED_WHILE_THE_PROVIDER_GRANTS)
    @example(HOURLY, ENDED_WHILE_THE_PROVIDER_GRANTS)
    @example(HOURLY, FORCED_DURING_A_ROUND)
    @example(HOURLY, ONLY_THE_PROBE_IS_DOWN)
    @example(HOURLY, A_ROUND_THAT_GOES_ON_WHILE_FLAGGED)
    @example(HOURLY, FLAGGED_AND_THEN_WITHOUT_ITS_APPLICATION)
    @example(KEY, A_PROBE_THAT_IS_NO_MORE)
    @example(KEY, A_GRANT_THAT_WAS_NOT_TOLD_AND_A_PROBE_THAT_IS_DOWN)
    def one(lifetimes: Lifetimes, steps: list[Step]) -> None:
        loop = asyncio.new_event_loop()
        try:
            loop.run_until_complete(_live(lifetimes, steps))
        finally:
            loop.close()

    one()


@pytest.mark.long
def test_workflow_does_what_the_model_says() -> None:
    live_random_lives(IN_TESTS)


if __name__ == "__main__":
    live_random_lives(settings(BY_HAND, max_examples=int(sys.argv[1])))
