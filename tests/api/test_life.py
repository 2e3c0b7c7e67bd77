"""A connection's life as a picture: from its transitions alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from api.life import MOST_TICKS, Happening, Phase, Picture, changes, draw, lasting
from everlink.contract import ConnectionStatus, Environment, EventType, Health, ReauthReason
from store.credentials import IntentOutcome
from store.renewals import Renewals, Try
from store.tables import TransitionRow

BEGAN = datetime(2026, 3, 1, tzinfo=UTC)
ACTIVE, REAUTH, ENDED = ConnectionStatus.ACTIVE, ConnectionStatus.REAUTH_REQUIRED, ConnectionStatus.DISCONNECTED


def days(count: float) -> datetime:
    return BEGAN + timedelta(days=count)


def row(
    at: float,
    status: ConnectionStatus,
    event: EventType | None,
    health: Health = Health.OK,
    reason: ReauthReason | None = None,
    note: str = "",
) -> TransitionRow:
    return TransitionRow(
        connection_id="con_1",
        sequence=int(at * 1000),
        org_id="org",
        environment=Environment.TEST,
        at=days(at),
        previous_status=ConnectionStatus.PENDING,
        status=status,
        health=health,
        reason=reason,
        event=event,
        note=note,
    )


LIFE = [
    row(1, ACTIVE, EventType.CREATED),
    row(2, ACTIVE, EventType.DEGRADED, Health.DEGRADED, note="the provider answered 503"),
    row(3, ACTIVE, EventType.RECOVERED),
    row(4, ACTIVE, None, Health.DEGRADED),  # told by its application
    row(5, ACTIVE, None),
    row(6, REAUTH, EventType.EXPIRED, reason=ReauthReason.ACCESS_REVOKED, note="the provider announced it"),
    row(7, REAUTH, EventType.EXPIRED_REMINDER, reason=ReauthReason.ACCESS_REVOKED),
    row(8, ACTIVE, EventType.REAUTHENTICATED),
]


def renewals(updated: float, tries: list[Try] | None = None) -> Renewals:
    return Renewals(3, days(updated), True, days(11), None, tries or [])


def kinds(picture: Picture) -> list[Happening]:
    return [mark.what for mark in sorted(picture.marks, key=lambda mark: mark.x)]


def test_each_stretch_has_its_share_of_the_width() -> None:
    picture = draw(BEGAN, LIFE, None, days(10))
    assert [(one.phase, one.x, one.width) for one in picture.stretches] == [
        (Phase.PENDING, 0, 10),
        (Phase.ACTIVE, 10, 10),
        (Phase.DEGRADED, 20, 10),
        (Phase.ACTIVE, 30, 10),
        (Phase.DEGRADED, 40, 10),
        (Phase.ACTIVE, 50, 10),
        (Phase.REAUTH_REQUIRED, 60, 20),
        (Phase.ACTIVE, 80, 20),
    ]
    assert picture.share(Phase.ACTIVE) == pytest.approx(100 * 50 / 90)
    assert picture.share(Phase.REAUTH_REQUIRED) == pytest.approx(100 * 20 / 90)


def test_each_transition_is_what_it_was() -> None:
    assert [(one.what, one.why) for one in changes(LIFE)] == [
        (Happening.CONNECTED, ""),
        (Happening.DEGRADED, "the provider answered 503"),
        (Happening.RECOVERED, ""),
        (Happening.OUTAGE, ""),
        (Happening.RECOVERED, ""),
        (Happening.EXPIRED, "access was revoked at the provider; the provider announced it"),
        (Happening.REMINDED, ""),
        (Happening.RECONNECTED, ""),
    ]
    assert kinds(draw(BEGAN, LIFE, None, days(10))) == [one.what for one in changes(LIFE)]


def test_a_refresh_is_one_that_came_after_the_last_grant() -> None:
    assert Happening.REFRESHED not in kinds(draw(BEGAN, LIFE, renewals(7.9999), days(10)))
    [mark] = [one for one in draw(BEGAN, LIFE, renewals(9), days(10)).marks if one.what is Happening.REFRESHED]
    assert (mark.at, mark.x) == (days(9), 90)


def test_marks_of_a_kind_that_are_close_are_one() -> None:
    tries = [Try(days(9 + number / 1000), IntentOutcome.ANSWERED) for number in range(5)]
    picture = draw(BEGAN, LIFE, renewals(8.5, tries), days(10))
    [mark] = [one for one in picture.marks if one.what is Happening.TRIED]
    assert (mark.x, mark.count, mark.at) == (90, 5, tries[-1].at)
    assert picture.count(Happening.TRIED) == 5 and picture.count(Happening.RECOVERED) == 2


def test_a_life_ends_with_its_end_whatever_is_noted_after_it() -> None:
    ended = [*LIFE, row(9, ENDED, EventType.DELETED), row(9.001, ENDED, None, note="the provider revoked the grant")]
    picture = draw(BEGAN, ended, None, days(400))
    assert picture.until == days(9)
    assert picture.stretches[-1].phase is Phase.ACTIVE and picture.stretches[-1].until == days(9)
    assert sum(one.width for one in picture.stretches) == pytest.approx(100)
    noted = next(one for one in picture.marks if one.what is Happening.NOTED)
    assert noted.x == 100


@pytest.mark.parametrize("age", [timedelta(0), timedelta(microseconds=1), timedelta(seconds=-5)])
def test_a_life_that_has_just_begun(age: timedelta) -> None:
    """The row's clock may be ahead of ours."""
    picture = draw(BEGAN, [], None, BEGAN + age)
    assert [one.phase for one in picture.stretches] == [Phase.PENDING]
    assert picture.share(Phase.ACTIVE) == 0 and picture.marks == []


@pytest.mark.parametrize(
    "age", [timedelta(seconds=2), timedelta(minutes=7), timedelta(days=3), timedelta(days=400), timedelta(days=9000)]
)
def test_ticks_are_few_and_stand_apart(age: timedelta) -> None:
    ticks = draw(BEGAN, [], None, BEGAN + age).ticks
    assert 0 < len(ticks) <= MOST_TICKS
    assert all(4 <= one.x <= 96 for one in ticks)
    for before, after in pairwise(ticks):
        assert after.x - before.x > 10 and after.words != before.words


def test_two_transitions_at_the_same_moment_leave_no_stretch_of_nothing() -> None:
    rows = [row(1, ACTIVE, EventType.CREATED), row(1, REAUTH, EventType.EXPIRED)]
    picture = draw(BEGAN, rows, None, days(2))
    assert [one.phase for one in picture.stretches] == [Phase.PENDING, Phase.REAUTH_REQUIRED]


@pytest.mark.parametrize(
    ("length", "words"),
    [
        (timedelta(0), "0 s"),
        (timedelta(seconds=-3), "0 s"),
        (timedelta(seconds=59), "59 s"),
        (timedelta(minutes=2, seconds=5), "2 min 5 s"),
        (timedelta(hours=3), "3 h"),
        (timedelta(days=2, hours=3, minutes=4), "2 d 3 h"),
        (timedelta(days=2, minutes=4), "2 d"),
    ],
)
def test_durations_in_words(length: timedelta, words: str) -> None:
    assert lasting(length) == words
