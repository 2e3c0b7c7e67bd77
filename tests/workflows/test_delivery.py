"""A delivery's schedule, and what its page in the Web UI says of each attempt."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from uuid import uuid4

import pytest
from temporalio import activity
from temporalio.api.enums.v1 import EventType as HistoryEvent
from temporalio.client import WorkflowHandle
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from everlink.contract import (
    TASK_QUEUE,
    Activity,
    AttemptOutcome,
    AttemptTask,
    CloseDeliveryTask,
    DeliveryTask,
    Environment,
    Workflow,
)
from workflows.delivery import DELAYS

HANDLE = WorkflowHandle[object, str]
CLOCK = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC"
UNAVAILABLE = AttemptOutcome(note="HTTP 503")
TAKEN = AttemptOutcome(delivered=True, closed=True, note="HTTP 200")


class Endpoint:
    """Answers attempts as it is told to, and remembers when they came; the last answer stays."""

    def __init__(self, *outcomes: AttemptOutcome) -> None:
        self._outcomes = list(outcomes)
        self.attempts: list[AttemptTask] = []
        self.times: list[datetime] = []
        self.closed: list[CloseDeliveryTask] = []

    @activity.defn(name=Activity.DELIVER_WEBHOOK)
    async def deliver(self, task: AttemptTask) -> AttemptOutcome:
        self.attempts.append(task)
        self.times.append(activity.info().scheduled_time)
        return self._outcomes.pop(0) if len(self._outcomes) > 1 else self._outcomes[0]

    @activity.defn(name=Activity.CLOSE_DELIVERY)
    async def close(self, task: CloseDeliveryTask) -> None:
        self.closed.append(task)

    @property
    def gaps(self) -> list[float]:
        return [(b - a).total_seconds() for a, b in zip(self.times, self.times[1:], strict=False)]


@asynccontextmanager
async def delivered(server: WorkflowEnvironment, endpoint: Endpoint, round: int = 0) -> AsyncIterator[HANDLE]:
    """A delivery that has come to its end, with a worker that still answers for it."""
    task = DeliveryTask(org_id="o", environment=Environment.TEST, event_id="e", endpoint_id="we", round=round)
    async with Worker(server.client, task_queue=TASK_QUEUE, activities=[endpoint.deliver, endpoint.close]):
        handle = await server.client.start_workflow(
            Workflow.DELIVERY, task, id=uuid4().hex, task_queue=TASK_QUEUE, result_type=str
        )
        await handle.result()
        yield handle


async def details(handle: HANDLE) -> str:
    metadata = await handle.query("__temporal_workflow_metadata")
    return str(metadata.current_details)


async def timers(handle: HANDLE) -> list[str]:
    return [
        event.user_metadata.summary.data.decode().strip('"')
        async for event in handle.fetch_history_events()
        if event.event_type == HistoryEvent.EVENT_TYPE_TIMER_STARTED
    ]


async def test_ten_attempts_within_three_days_and_a_bit(skipping: WorkflowEnvironment) -> None:
    endpoint = Endpoint(UNAVAILABLE)
    async with delivered(skipping, endpoint):
        pass
    assert [task.attempt for task in endpoint.attempts] == list(range(1, 11))
    assert endpoint.attempts[-1].next_delay is None
    for gap, task, least in zip(endpoint.gaps, endpoint.attempts, DELAYS[1:], strict=False):
        assert task.next_delay is not None and least <= task.next_delay <= 1.1 * least
        assert task.next_delay <= gap < task.next_delay + 60
    assert timedelta(days=3) < endpoint.times[-1] - endpoint.times[0] < timedelta(days=3.6)
    [closing] = endpoint.closed
    assert not closing.delivered


async def test_page_tells_every_attempt_with_its_status_and_time_in_words(skipping: WorkflowEnvironment) -> None:
    endpoint = Endpoint(UNAVAILABLE, AttemptOutcome(note="the server did not answer in time"), TAKEN)
    async with delivered(skipping, endpoint) as handle:
        summaries, page = await timers(handle), await details(handle)
    assert len(summaries) == 2
    assert re.fullmatch(f"attempt 1 of 10: HTTP 503; next {CLOCK}", summaries[0])
    assert re.fullmatch(f"attempt 2 of 10: the server did not answer in time; next {CLOCK}", summaries[1])
    lines = page.splitlines()
    assert lines[0] == "**Delivered: attempt 3 of 10: HTTP 200**" and len(lines) == 5
    for line, words in zip(lines[2:], ("3 of 10: HTTP 200", "2 of 10: the server", "1 of 10: HTTP 503"), strict=True):
        assert line.startswith(f"- attempt {words}") and re.search(rf"\({CLOCK}\)$", line)


@pytest.mark.parametrize(("asked", "least"), [(600.0, 600), (1.0, 5), (10 * 86400.0, 86400)])
async def test_endpoint_is_left_alone_as_long_as_it_asks_within_a_day(
    skipping: WorkflowEnvironment, asked: float, least: float
) -> None:
    endpoint = Endpoint(AttemptOutcome(retry_after=asked, note="HTTP 429"), TAKEN)
    async with delivered(skipping, endpoint):
        pass
    assert least <= endpoint.gaps[0] < least + 60


async def test_attempt_that_waits_for_its_turn_is_none(skipping: WorkflowEnvironment) -> None:
    busy = AttemptOutcome(deferred=True, retry_after=7.0, note="the endpoint has enough on its hands")
    endpoint = Endpoint(busy, busy, UNAVAILABLE, busy, TAKEN)
    async with delivered(skipping, endpoint) as handle:
        summaries, page = await timers(handle), await details(handle)
    assert [task.attempt for task in endpoint.attempts] == [1, 1, 1, 2, 2]
    assert re.fullmatch(f"attempt 2 of 10: the endpoint has enough on its hands; next {CLOCK}", summaries[3])
    assert len(page.splitlines()) == 4  # the attempts that were made


@pytest.mark.parametrize("closed", [True, False], ids=["by the attempt", "by the workflow"])
async def test_delivery_stops_where_nothing_may_be_sent(skipping: WorkflowEnvironment, closed: bool) -> None:
    endpoint = Endpoint(UNAVAILABLE, AttemptOutcome(stop=True, closed=closed, note="over"))
    async with delivered(skipping, endpoint, round=3):
        pass
    assert len(endpoint.attempts) == 2 and len(endpoint.closed) == (0 if closed else 1)
    assert {task.delivery.round for task in endpoint.attempts} == {3}
