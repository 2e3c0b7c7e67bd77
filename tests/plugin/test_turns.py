"""What began without the plugin goes on with it: a result reaches the workflow in the turn in which it always did."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import pytest
from temporalio import activity
from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowHistory
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import (
    Interceptor,
    Replayer,
    StartActivityInput,
    Worker,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
    WorkflowOutboundInterceptor,
)
from temporalio.workflow import NondeterminismError

from everlink import EverlinkPlugin
from tests.plugin.turns import Turns
from tests.plugin.world import events, until


@activity.defn
async def works() -> str:
    return "done"


@activity.defn
async def fails() -> None:
    raise ApplicationError("no", non_retryable=True)


class Naive(Interceptor):
    """What the plugin would be as a plain task around each activity: the counterproof."""

    def workflow_interceptor_class(self, input: WorkflowInterceptorClassInput) -> type[WorkflowInboundInterceptor]:
        return NaiveInbound


class NaiveInbound(WorkflowInboundInterceptor):
    def init(self, outbound: WorkflowOutboundInterceptor) -> None:
        super().init(NaiveOutbound(outbound))


class NaiveOutbound(WorkflowOutboundInterceptor):
    def start_activity(self, input: StartActivityInput) -> Any:
        handle = super().start_activity(input)

        async def result() -> Any:
            return await handle

        return asyncio.create_task(result())


@pytest.fixture(scope="module")
async def recorded(server: WorkflowEnvironment) -> WorkflowHistory:
    """A history without the plugin, in which everything has come when the workflow goes on."""
    queue, activities = f"turns-{uuid4().hex}", f"activities-{uuid4().hex}"
    handle = await server.client.start_workflow(Turns.run, activities, id=queue, task_queue=queue)

    async def pending(count: int) -> bool:
        return len((await handle.describe()).raw_description.pending_activities) == count

    async def fired() -> bool:
        return await events(handle, EventType.EVENT_TYPE_TIMER_FIRED) == 1

    def worker() -> Worker:
        return Worker(server.client, task_queue=queue, workflows=[Turns], activities=[works], max_cached_workflows=0)

    async with worker():
        await until(lambda: pending(13))
    async with Worker(server.client, task_queue=activities, activities=[works, fails]):
        await until(lambda: pending(4))
    await until(fired)
    async with worker():
        await handle.result()
    return await handle.fetch_history()


async def test_what_began_without_the_plugin_goes_on_with_it(recorded: WorkflowHistory) -> None:
    await Replayer(workflows=[Turns], plugins=[EverlinkPlugin("http://unused", "tk_unused")]).replay_workflow(recorded)


async def test_a_task_around_each_activity_would_not_do(recorded: WorkflowHistory) -> None:
    with pytest.raises(NondeterminismError):
        await Replayer(workflows=[Turns], interceptors=[Naive()]).replay_workflow(recorded)


async def test_every_branch_was_tried(recorded: WorkflowHistory) -> None:
    marks = {
        event.activity_task_scheduled_event_attributes.activity_type.name.removeprefix("mark: ")
        for event in recorded.events
        if event.HasField("activity_task_scheduled_event_attributes")
    }
    assert marks >= {
        "awaited",
        "gathered",
        "waited for",
        "shielded",
        "selected 2",
        "first call back of True",
        "removed 1",
        "second call back",
        "called back",
        "failed",
        "local",
        "cancelled",
        "timed out",
    }
