"""The workflow's side: an activity that meets a dead connection is waited for and run again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

from temporalio import workflow
from temporalio.api.sdk.v1 import WorkflowMetadata
from temporalio.exceptions import ActivityError, CancelledError, FailureError, RetryState
from temporalio.worker import (
    HandleQueryInput,
    Interceptor,
    StartActivityInput,
    StartLocalActivityInput,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
    WorkflowOutboundInterceptor,
)

from everlink.plugin.details import above
from everlink.plugin.failures import DeadConnection
from everlink.plugin.handle import Handle, Rest
from everlink.plugin.policy import Wait, chosen
from everlink.plugin.waits import CALM, Waits

Start = Callable[[], workflow.ActivityHandle[Any]]


class WorkflowSide(Interceptor):
    """Has no settings: what a workflow decides from stands in its history, so that a replay decides the same."""

    def workflow_interceptor_class(self, input: WorkflowInterceptorClassInput) -> type[WorkflowInboundInterceptor]:
        return _Inbound


class _Inbound(WorkflowInboundInterceptor):
    """One for each run."""

    def init(self, outbound: WorkflowOutboundInterceptor) -> None:
        self._waits = Waits()
        super().init(_Outbound(outbound, self._waits))

    async def handle_query(self, input: HandleQueryInput) -> Any:
        """The details are completed where they are asked for: what the user's code sets of them stays its own."""
        answer = await super().handle_query(input)
        if isinstance(answer, WorkflowMetadata):
            answer.current_details = above(answer.current_details, self._waits.lines)
        return answer


class _Outbound(WorkflowOutboundInterceptor):
    def __init__(self, next: WorkflowOutboundInterceptor, waits: Waits) -> None:
        super().__init__(next)
        self._waits = waits

    # Each run has an input of its own, since interceptors behind this one may write to it.

    def start_activity(self, input: StartActivityInput) -> workflow.ActivityHandle[Any]:
        task_queue = input.task_queue or workflow.info().task_queue
        return self._start(lambda: self.next.start_activity(replace(input)), task_queue)

    def start_local_activity(self, input: StartLocalActivityInput) -> workflow.ActivityHandle[Any]:
        return self._start(lambda: self.next.start_local_activity(replace(input)), workflow.info().task_queue)

    def _start(self, start: Start, task_queue: str) -> Handle:
        return Handle(start(), partial(self._on_failure, start, task_queue, chosen()))

    def _on_failure(self, start: Start, task_queue: str, wait: Wait | None, error: BaseException) -> Rest | None:
        dead = DeadConnection.of(error)
        if dead is None:
            return None
        limit = wait.limit if wait is not None else _duration(dead.at_most)
        if limit == timedelta():
            return None
        return partial(self._wait_and_run_again, start, task_queue, limit, error, dead)

    async def _wait_and_run_again(
        self, start: Start, task_queue: str, limit: timedelta | None, error: BaseException, dead: DeadConnection
    ) -> Any:
        """The activity's result.

        Raises:
            ActivityError: it failed of another cause, was cancelled, or its connection is dead for too long.
        """
        since = workflow.now()
        while True:
            try:
                active = await self._waits.until_active(dead, task_queue, None if limit is None else since + limit)
            except asyncio.CancelledError:
                raise _cancelled(error) from CancelledError("cancelled while it waited for a reconnect")
            if not active:
                raise error
            resumed = workflow.now()
            try:
                return await start()
            except FailureError as failure:
                again = DeadConnection.of(failure)
                if again is None or _is_cancelled():
                    raise
                error, dead = failure, again
            if workflow.now() - resumed > CALM:
                since = workflow.now()


def _is_cancelled() -> bool:
    """Whether the run was cancelled, and failed for all that: whoever cancels waits for no customer."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _duration(seconds: float | None) -> timedelta | None:
    return None if seconds is None else timedelta(seconds=seconds)


def _cancelled(error: BaseException) -> FailureError:
    """As an activity that is cancelled while it runs: a user's code need not know which of both it was."""
    if not isinstance(error, ActivityError):
        return CancelledError("Activity cancelled")
    return ActivityError(
        "Activity cancelled",
        scheduled_event_id=error.scheduled_event_id,
        started_event_id=error.started_event_id,
        identity=error.identity,
        activity_type=error.activity_type,
        activity_id=error.activity_id,
        retry_state=RetryState.CANCEL_REQUESTED,
    )
