"""A removal's workflow in skipped time: rounds until everybody has followed, patience, and the end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from temporalio import activity
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from everlink.contract import (
    TASK_QUEUE,
    Activity,
    Environment,
    RemovalKind,
    RemovalPage,
    RemovalPageTask,
    RemovalState,
    RemovalTask,
    Workflow,
)
from workflows import options
from workflows.removal import STEPS_PER_RUN

TASK = RemovalTask(
    id="rem_1", org_id="org", environment=Environment.TEST, kind=RemovalKind.APPLICATION, subject="slack"
)


@dataclass
class Store:
    """Connections that follow some looks later, and what a removal asks of the activities."""

    pages: int = 1
    rounds: int = 1  # until everybody has followed
    left: int = 0  # looks at which something is on its way
    steps: int = 1  # until all rows are gone
    failures: int = 0
    told: list[str | None] = field(default_factory=list)
    looks: int = 0
    forgotten: int = 0
    asked: list[datetime] = field(default_factory=list)

    @activity.defn(name=Activity.REMOVE_CONNECTIONS)
    async def remove(self, task: RemovalPageTask) -> RemovalPage:
        self.asked.append(activity.info().scheduled_time)
        if self.failures:
            self.failures -= 1
            raise ApplicationError("the database cannot be reached")
        self.told.append(task.after)
        number = int(task.after or 0) + 1
        followed = self.told.count(None) >= self.rounds
        return RemovalPage(
            after=str(number) if number < self.pages else None, total=10, done=10 if followed else 3, failed=0
        )

    @activity.defn(name=Activity.SETTLE_REMOVAL)
    async def settle(self, task: RemovalTask) -> int:
        self.looks += 1
        return 1 if self.looks <= self.left else 0

    @activity.defn(name=Activity.FINISH_REMOVAL)
    async def finish(self, task: RemovalTask) -> bool:
        self.asked.append(activity.info().scheduled_time)
        self.forgotten += 1
        return self.forgotten >= self.steps

    @property
    def activities(self) -> list[Callable[..., Any]]:
        return [self.remove, self.settle, self.finish]


async def removed(server: WorkflowEnvironment, store: Store) -> timedelta:
    """Runs a removal to its end; answers how long it took."""
    async with Worker(server.client, task_queue=TASK_QUEUE, activities=store.activities):
        await server.client.execute_workflow(
            Workflow.REMOVAL, RemovalState(task=TASK), id=uuid4().hex, task_queue=TASK_QUEUE
        )
    return store.asked[-1] - store.asked[0]


async def test_every_page_is_told_and_the_rows_go_at_the_end(skipping: WorkflowEnvironment) -> None:
    store = Store(pages=3, steps=2)
    await removed(skipping, store)
    assert (store.told, store.looks, store.forgotten) == ([None, "1", "2"], 1, 2)


async def test_who_has_not_followed_is_told_again_with_growing_patience(skipping: WorkflowEnvironment) -> None:
    store = Store(pages=2, rounds=20)
    took = await removed(skipping, store)
    assert store.told == [None, "1"] * 20
    assert timedelta(minutes=30) < took < timedelta(hours=2)


async def test_trouble_of_the_store_is_waited_out(skipping: WorkflowEnvironment) -> None:
    store = Store(failures=8)
    await removed(skipping, store)
    assert store.told == [None]


@pytest.mark.parametrize("left", [0, 5, 10_000])
async def test_what_is_on_its_way_is_waited_for_and_at_most_a_day(skipping: WorkflowEnvironment, left: int) -> None:
    store = Store(left=left)
    took = await removed(skipping, store)
    assert store.forgotten == 1
    assert took < options.SETTLE_FOR + timedelta(minutes=10)
    assert (took > options.SETTLE_FOR) is (left == 10_000)


async def test_long_removal_continues_as_new_where_it_stood(skipping: WorkflowEnvironment) -> None:
    store = Store(pages=2 * STEPS_PER_RUN + 50)
    await removed(skipping, store)
    assert len(store.told) == len(set(store.told)) == store.pages
    assert (store.looks, store.forgotten) == (1, 1)
