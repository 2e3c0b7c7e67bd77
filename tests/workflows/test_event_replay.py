"""The workflow that replays many events, in skipped time: page after page, patience, and the end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from temporalio import activity
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from everlink.contract import (
    TASK_QUEUE,
    Activity,
    Environment,
    FinishReplayTask,
    ReplayPage,
    ReplayPageTask,
    ReplayState,
    ReplayTask,
    Workflow,
)
from workflows.replay import STEPS_PER_RUN

TASK = ReplayTask(id="rep_1", org_id="org", environment=Environment.TEST, endpoint_id="we_1")
DISABLED = "stopped: the endpoint was disabled"


@dataclass
class Store:
    """So many pages of one event each, at an endpoint that has enough for a while behind the first."""

    pages: int = 1
    full: int = 0  # looks for which the endpoint has enough
    failures: int = 0
    disabled_at: int | None = None
    position: int = 0
    started: list[int] = field(default_factory=list)
    asked: list[datetime] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @activity.defn(name=Activity.REPLAY_EVENTS)
    async def replay(self, task: ReplayPageTask) -> ReplayPage:
        self.asked.append(activity.info().scheduled_time)
        if self.failures:
            self.failures -= 1
            raise ApplicationError("the database cannot be reached")
        self.started.append(task.started)
        if self.position == self.disabled_at:
            return self._page(is_over=True, note=DISABLED)
        if self.position == 1 and self.full:
            self.full -= 1
            return self._page(is_full=True)
        self.position += 1
        return self._page(is_over=self.position == self.pages)

    @activity.defn(name=Activity.FINISH_REPLAY)
    async def finish(self, task: FinishReplayTask) -> None:
        assert task.task == TASK
        self.notes.append(task.note)

    def _page(self, **more: Any) -> ReplayPage:
        return ReplayPage(position=self.position, until=self.pages, replayed=self.position, **more)

    @property
    def activities(self) -> list[Callable[..., Any]]:
        return [self.replay, self.finish]


async def replayed(server: WorkflowEnvironment, store: Store) -> tuple[str, timedelta]:
    """Runs a replay to its end; answers what it says, and how long it took."""
    async with Worker(server.client, task_queue=TASK_QUEUE, activities=store.activities):
        said: str = await server.client.execute_workflow(
            Workflow.REPLAY, ReplayState(task=TASK), id=uuid4().hex, task_queue=TASK_QUEUE, result_type=str
        )
    return said, store.asked[-1] - store.asked[0]


async def test_pages_follow_each_other_and_each_says_what_is_started(skipping: WorkflowEnvironment) -> None:
    store = Store(pages=3)
    said, took = await replayed(skipping, store)
    assert (store.started, store.notes, said) == ([0, 1, 2], [""], "all are on their way")
    assert took < timedelta(seconds=1)


async def test_endpoint_that_has_enough_is_waited_for_with_growing_patience(skipping: WorkflowEnvironment) -> None:
    store = Store(pages=3, full=100)
    _, took = await replayed(skipping, store)
    assert store.started == [0, *[1] * 101, 2]
    assert timedelta(hours=1) < took < timedelta(hours=2)


async def test_trouble_of_the_store_is_waited_out(skipping: WorkflowEnvironment) -> None:
    store = Store(pages=2, failures=5)
    await replayed(skipping, store)
    assert store.started == [0, 1]


async def test_replay_to_an_endpoint_that_was_disabled_ends_with_a_note(skipping: WorkflowEnvironment) -> None:
    store = Store(pages=9, disabled_at=4)
    said, _ = await replayed(skipping, store)
    assert (store.position, store.notes, said) == (4, [DISABLED], DISABLED)


async def test_long_replay_continues_as_new_where_it_stood(skipping: WorkflowEnvironment) -> None:
    store = Store(pages=2 * STEPS_PER_RUN + 50)
    await replayed(skipping, store)
    assert store.started == list(range(store.pages)) and store.notes == [""]
