"""The judge of the kill run sees what would be wrong."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from random import Random

import pytest

from everlink.contract import EventType
from tests.kills.endpoints import Course, Endpoint
from tests.kills.judge import Happened, of_arrivals, of_endpoint
from tests.kills.listener import Answer, Arrival, Listener

MIDWAY = 1_000_000.0


def event(number: int, at: float) -> Happened:
    body = {"connection_id": "con_1", "sequence": number}
    moment = datetime.fromtimestamp(at, UTC)
    return Happened(f"event-{number}", EventType.EXPIRED, "con_1", number, body, moment)


EVENTS = [event(1, MIDWAY - 10), event(2, MIDWAY - 5), event(3, MIDWAY + 5)]


def arrival(of: Happened, at: float) -> Arrival:
    return Arrival(of.id, int(at), json.dumps(of.body).encode(), verified=True, answer=Answer.TAKEN)


ALL = [arrival(one, one.created_at.timestamp()) for one in EVENTS]
WELL = {Course.STAYS: [*ALL, ALL[0]], Course.DISABLED: ALL[:2], Course.DELETED: ALL[:1], Course.ENABLED: ALL[2:]}
WRONG = [
    (Course.STAYS, ALL[:2], "1 of 3 events never arrived"),
    (Course.STAYS, [], "nothing came at all"),
    (Course.ENABLED, ALL[1:], "1 requests came before"),
    (Course.ENABLED, [arrival(EVENTS[1], MIDWAY + 9)], "1 of 1 events never arrived"),
    (Course.DISABLED, ALL, "1 requests were sent after"),
    (Course.DELETED, ALL, "1 requests were sent after"),
]


def of(course: Course) -> Endpoint:
    return Endpoint(course, "we_1", asked_at=MIDWAY, changed_at=MIDWAY)


@pytest.mark.parametrize(("course", "arrived"), WELL.items())
def test_what_is_as_promised_passes(course: Course, arrived: list[Arrival]) -> None:
    assert list(of_endpoint(of(course), arrived, EVENTS)) == []


@pytest.mark.parametrize(("course", "arrived", "words"), WRONG)
def test_what_is_missing_early_or_late_is_named(course: Course, arrived: list[Arrival], words: str) -> None:
    assert any(line.startswith(words) for line in of_endpoint(of(course), arrived, EVENTS))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"verified": False}, "event-1: the signature is wrong"),
        ({"id": "event-9"}, "event-9: no such event"),
        ({"body": b"{}"}, "event-1: came with two bodies"),
    ],
)
def test_what_an_arrival_says_is_compared(wrong: dict[str, object], words: str) -> None:
    listener = Listener(Random(0), arrivals={"/stays": [ALL[0], ALL[1]], "/enabled": [ALL[0]]})
    assert list(of_arrivals(listener, EVENTS)) == []
    listener.arrivals["/enabled"].append(replace(ALL[0], **wrong))  # type: ignore[arg-type]
    assert list(of_arrivals(listener, EVENTS)) == [words]


def test_body_that_is_not_the_events_is_named() -> None:
    listener = Listener(Random(0), arrivals={"/stays": [replace(ALL[0], body=b"{}")]})
    assert list(of_arrivals(listener, EVENTS)) == ["event-1: is not what the store has"]
