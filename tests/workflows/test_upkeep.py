"""A round of upkeep: page by page, one kind of work after the other, whatever fails."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from temporalio import activity
from temporalio.client import ScheduleActionExecutionStartWorkflow, ScheduleHandle, ScheduleOverlapPolicy
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from everlink.contract import (
    TASK_QUEUE,
    UPKEEP_SCHEDULE,
    Activity,
    AttemptOutcome,
    AttemptTask,
    CloseDeliveryTask,
    DeliveryTask,
    Environment,
    SweepOutcome,
    SweepTask,
    UpkeepState,
    Workflow,
)
from tests.servers import start_dev_server
from worker import schedule_upkeep
from workflows.upkeep import PAGES_PER_RUN

ROOT = Path(__file__).resolve().parent.parent.parent


@dataclass
class Sweeps:
    """Each kind of work has so many pages, with something mended on each."""

    pages: int = 1
    broken: Activity | None = None
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    parts: list[tuple[int, int]] = field(default_factory=list)

    def _page(self, kind: Activity, task: SweepTask) -> SweepOutcome:
        self.asked.append((kind.value, task.after))
        if kind is self.broken:
            raise ApplicationError("the database cannot be reached")
        page = int(task.after or 0) + 1
        return SweepOutcome(after=str(page) if page < self.pages else None, mended=1)

    @activity.defn(name=Activity.SWEEP_DELIVERIES)
    async def deliveries(self, task: SweepTask) -> SweepOutcome:
        return self._page(Activity.SWEEP_DELIVERIES, task)

    @activity.defn(name=Activity.SWEEP_GRANTS)
    async def grants(self, task: SweepTask) -> SweepOutcome:
        return self._page(Activity.SWEEP_GRANTS, task)

    @activity.defn(name=Activity.SWEEP_OVERDUE)
    async def overdue(self, task: SweepTask) -> SweepOutcome:
        return self._page(Activity.SWEEP_OVERDUE, task)

    @activity.defn(name=Activity.SWEEP_FLEET)
    async def fleet(self, task: SweepTask) -> SweepOutcome:
        self.parts.append((task.part, task.parts))
        return self._page(Activity.SWEEP_FLEET, task)

    @activity.defn(name=Activity.SWEEP_REMOVALS)
    async def removals(self, task: SweepTask) -> SweepOutcome:
        return self._page(Activity.SWEEP_REMOVALS, task)

    @activity.defn(name=Activity.SWEEP_REPLAYS)
    async def replays(self, task: SweepTask) -> SweepOutcome:
        return self._page(Activity.SWEEP_REPLAYS, task)

    @activity.defn(name=Activity.SWEEP_OUTAGES)
    async def outages(self, task: SweepTask) -> SweepOutcome:
        return self._page(Activity.SWEEP_OUTAGES, task)

    @activity.defn(name=Activity.SWEEP_INBOX)
    async def inbox(self, task: SweepTask) -> SweepOutcome:
        return self._page(Activity.SWEEP_INBOX, task)

    @property
    def activities(self) -> list[Callable[..., Any]]:
        some = [self.deliveries, self.grants, self.overdue, self.fleet, self.removals]
        return [*some, self.replays, self.outages, self.inbox]


async def round_of(server: WorkflowEnvironment, sweeps: Sweeps, state: UpkeepState) -> UpkeepState:
    async with Worker(server.client, task_queue=TASK_QUEUE, activities=sweeps.activities):
        result: UpkeepState = await server.client.execute_workflow(
            Workflow.UPKEEP, state, id=uuid4().hex, task_queue=TASK_QUEUE, result_type=UpkeepState
        )
        return result


async def test_round_reads_every_page_of_every_kind_of_work(skipping: WorkflowEnvironment) -> None:
    sweeps = Sweeps(pages=3)
    result = await round_of(skipping, sweeps, UpkeepState())
    kinds = [
        "sweep_deliveries",
        "sweep_grants",
        "sweep_overdue",
        "sweep_fleet",
        "sweep_removals",
        "sweep_replays",
        "sweep_outages",
        "sweep_inbox",
    ]
    assert sweeps.asked == [(kind, after) for kind in kinds for after in (None, "1", "2")]
    assert (result.todo, result.pages, result.mended, result.failed) == ([], 3 * len(kinds), 3 * len(kinds), 0)
    assert set(sweeps.parts) == {(0, 60)}


async def test_work_that_fails_keeps_no_other_from_being_done(skipping: WorkflowEnvironment) -> None:
    sweeps = Sweeps(broken=Activity.SWEEP_DELIVERIES)
    result = await round_of(skipping, sweeps, UpkeepState())
    assert sweeps.asked[:3] == [("sweep_deliveries", None)] * 3  # it is tried again first
    assert (result.todo, result.mended, result.failed) == ([], len(UpkeepState().todo) - 1, 1)


async def test_long_round_continues_as_new_where_it_stood(skipping: WorkflowEnvironment) -> None:
    sweeps = Sweeps(pages=PAGES_PER_RUN + 50)
    state = UpkeepState(todo=[Activity.SWEEP_DELIVERIES, Activity.SWEEP_FLEET], part=7)
    result = await round_of(skipping, sweeps, state)
    assert result.pages == len(sweeps.asked) == len(set(sweeps.asked)) == 2 * sweeps.pages
    assert set(sweeps.parts) == {(7, 60)}


async def test_delivery_that_was_lost_goes_on_with_the_attempts_of_its_row(skipping: WorkflowEnvironment) -> None:
    made: list[AttemptTask] = []

    @activity.defn(name=Activity.DELIVER_WEBHOOK)
    async def deliver(task: AttemptTask) -> AttemptOutcome:
        made.append(task)
        return AttemptOutcome(note="the endpoint answered HTTP 500")

    @activity.defn(name=Activity.CLOSE_DELIVERY)
    async def close(task: CloseDeliveryTask) -> None:
        assert not task.delivered

    async with Worker(skipping.client, task_queue=TASK_QUEUE, activities=[deliver, close]):
        for before in (8, 10):
            task = DeliveryTask(
                org_id="org", environment=Environment.TEST, event_id="e", endpoint_id="we", attempts=before
            )
            await skipping.client.execute_workflow(Workflow.DELIVERY, task, id=uuid4().hex, task_queue=TASK_QUEUE)
    assert [task.attempt for task in made] == [9, 10, 10]
    assert [task.next_delay is None for task in made] == [False, True, True]


async def until_rounds(handle: ScheduleHandle, count: int) -> None:
    async with asyncio.timeout(30):
        while True:
            info = (await handle.describe()).info
            if info.num_actions >= count and not info.running_actions:
                return
            await asyncio.sleep(0.05)


@pytest.fixture
async def server() -> Any:
    """Its own: the schedule begins rounds that belong to no other test."""
    async with await start_dev_server() as environment:
        yield environment


async def test_workers_that_start_together_leave_one_schedule(server: WorkflowEnvironment) -> None:
    await asyncio.gather(*(schedule_upkeep(server.client) for _ in range(5)))
    listed = [entry.id async for entry in await server.client.list_schedules()]
    found = await server.client.get_schedule_handle(UPKEEP_SCHEDULE).describe()
    assert set(listed) <= {UPKEEP_SCHEDULE}  # the list lags behind
    assert found.schedule.policy.overlap is ScheduleOverlapPolicy.SKIP
    assert [interval.every.total_seconds() for interval in found.schedule.spec.intervals] == [60]


async def test_worker_processes_that_start_together_both_work_and_the_schedule_is_there(
    server: WorkflowEnvironment, sqlite_url: str, tmp_path: Path
) -> None:
    environment = {
        **os.environ,
        "EVERLINK_DEV": "1",
        "EVERLINK_STATE_DIR": str(tmp_path),
        "EVERLINK_DATABASE_URL": sqlite_url,
        "EVERLINK_TEMPORAL_ADDRESS": server.client.service_client.config.target_host,
    }
    command = (sys.executable, str(ROOT / "worker.py"))
    workers = [
        await asyncio.create_subprocess_exec(*command, env=environment, cwd=ROOT, stderr=asyncio.subprocess.PIPE)
        for _ in range(2)
    ]
    try:
        await asyncio.gather(*(until_ready(process) for process in workers))
        handle = server.client.get_schedule_handle(UPKEEP_SCHEDULE)
        await handle.trigger()
        await until_rounds(handle, 1)
        [latest, *_] = (await handle.describe()).info.recent_actions
        assert isinstance(latest.action, ScheduleActionExecutionStartWorkflow)
        done = server.client.get_workflow_handle(latest.action.workflow_id, result_type=UpkeepState)
        result = await done.result()
        assert (result.todo, result.pages, result.failed) == ([], len(UpkeepState().todo), 0)
    finally:
        for process in workers:
            process.terminate()
    assert await asyncio.gather(*(process.wait() for process in workers)) == [0, 0]


async def until_ready(process: asyncio.subprocess.Process) -> None:
    assert process.stderr is not None
    async with asyncio.timeout(60):
        while b"worker ready" not in (line := await process.stderr.readline()):
            assert line, "the worker stopped at its start"


async def test_pause_of_an_operator_outlives_a_worker_start(server: WorkflowEnvironment) -> None:
    await schedule_upkeep(server.client)
    handle = server.client.get_schedule_handle(UPKEEP_SCHEDULE)
    await handle.pause(note="maintenance")
    await schedule_upkeep(server.client)
    state = (await handle.describe()).schedule.state
    assert state.paused and state.note == "maintenance"


async def test_rounds_of_the_schedule_visit_one_part_of_the_fleet_after_the_other(server: WorkflowEnvironment) -> None:
    sweeps = Sweeps()
    await schedule_upkeep(server.client)
    handle = server.client.get_schedule_handle(UPKEEP_SCHEDULE)
    await handle.pause()  # the minute's own rounds
    async with Worker(server.client, task_queue=TASK_QUEUE, activities=sweeps.activities):
        for _ in range(3):
            await until_rounds(handle, 0)  # a trigger during a round would be skipped
            begun = (await handle.describe()).info.num_actions
            await handle.trigger()
            await until_rounds(handle, begun + 1)
    visited = [part for part, _ in sweeps.parts]
    assert visited == list(range(len(visited))) and len(visited) >= 3
