"""The workflow of an inbox, in skipped time: every page, what comes meanwhile, and the end."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from uuid import uuid4

from temporalio import activity
from temporalio.client import WorkflowHandle
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from everlink.contract import (
    TASK_QUEUE,
    Activity,
    DispatchOutcome,
    DispatchTask,
    Environment,
    InboxState,
    InboxTask,
    Signal,
    Workflow,
)
from workflows.inbox import PAGES_PER_RUN, SIGNALS_PER_RUN

TASK = InboxTask(org_id="org", environment=Environment.TEST, slug="slack")


@dataclass
class Store:
    """So many pages of one event each; more comes while the first ones are told."""

    pages: int = 1
    comes: int = 0  # more looks that somebody asks for
    signals: int = 1  # by which each is asked for
    failures: int = 0
    left: int = 0  # events of the last page that cannot be told
    asked: list[str] = field(default_factory=list)
    runs: set[str] = field(default_factory=set)
    handle: WorkflowHandle[object, str] | None = None

    @activity.defn(name=Activity.DISPATCH_EVENTS)
    async def dispatch(self, task: DispatchTask) -> DispatchOutcome:
        if self.failures:
            self.failures -= 1
            raise ApplicationError("the database cannot be reached")
        self.asked.append(task.after)
        self.runs.add(activity.info().workflow_run_id or "")
        page = int(task.after or 0) + 1
        if page == self.pages and self.comes and self.handle is not None:
            self.comes -= 1
            handle = self.handle
            await asyncio.gather(*(handle.signal(Signal.EVENTS_CAME) for _ in range(self.signals)))
        last = page == self.pages
        return DispatchOutcome(after=None if last else str(page), events=1, told=2, failed=self.left if last else 0)


async def run(server: WorkflowEnvironment, store: Store) -> str:
    id = uuid4().hex
    store.handle = server.client.get_workflow_handle(id)
    async with Worker(server.client, task_queue=TASK_QUEUE, activities=[store.dispatch]):
        result: str = await server.client.execute_workflow(
            Workflow.INBOX,
            InboxState(task=TASK),
            id=id,
            task_queue=TASK_QUEUE,
            result_type=str,
            start_signal=Signal.EVENTS_CAME,
        )
        return result


async def test_every_page_is_told_and_the_workflow_ends(skipping: WorkflowEnvironment) -> None:
    store = Store(pages=3)
    assert await run(skipping, store) == "3 events told to 6 connections"
    assert store.asked == ["", "1", "2"]


async def test_what_comes_meanwhile_is_looked_for_from_the_beginning(skipping: WorkflowEnvironment) -> None:
    store = Store(pages=2, comes=2)
    await run(skipping, store)
    assert store.asked == ["", "1"] * 3


async def test_database_that_is_away_is_waited_for(skipping: WorkflowEnvironment) -> None:
    store = Store(failures=12)
    assert await run(skipping, store) == "1 events told to 2 connections"


async def test_event_that_cannot_be_told_holds_up_nobody(skipping: WorkflowEnvironment) -> None:
    store = Store(pages=2, left=1)
    await run(skipping, store)
    assert store.asked == ["", "1"]


async def test_long_look_continues_as_new_where_it_stood(skipping: WorkflowEnvironment) -> None:
    store = Store(pages=PAGES_PER_RUN + 20)
    assert await run(skipping, store) == f"{store.pages} events told to {2 * store.pages} connections"
    assert len(store.asked) == len(set(store.asked)) == store.pages


async def test_signals_without_end_continue_as_new_before_a_history_has_no_room_for_them(
    skipping: WorkflowEnvironment,
) -> None:
    store = Store(comes=3, signals=SIGNALS_PER_RUN)
    await run(skipping, store)
    assert len(store.asked) == 4
    assert len(store.runs) == 4
