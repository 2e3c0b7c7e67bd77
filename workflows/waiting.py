"""Somebody's wait for one connection: the workflow behind the Nexus operation `await_active`."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.exceptions import ApplicationError, FailureError

with workflow.unsafe.imports_passed_through():
    from everlink.contract import (
        ConnectionAsked,
        ConnectionStanding,
        Signal,
        Waiter,
        Workflow,
        connection_workflow_id,
    )

MISSING_AT_MOST = timedelta(hours=2)  # upkeep finds within an hour what has no workflow, and starts it again
# A connection's workflow that was terminated or reset has forgotten who waits. Short waits are asked anew anyway.
REGISTERED_FOR = timedelta(days=1)
FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=5), timedelta(minutes=1)


@workflow.defn(name=Workflow.WAITING)
class WaitingWorkflow:
    """Registers with the connection and sleeps until it is told: no slot, no poll, and of a short wait no timer."""

    @workflow.init
    def __init__(self, _: ConnectionAsked) -> None:
        self._standing: ConnectionStanding | None = None

    @workflow.run
    async def run(self, asked: ConnectionAsked) -> ConnectionStanding:
        info = workflow.info()
        connection = workflow.get_external_workflow_handle(connection_workflow_id(asked.connection_id))
        lives = info.execution_timeout
        me = Waiter(workflow_id=info.workflow_id, until=None if lives is None else info.workflow_start_time + lives)
        anew = REGISTERED_FOR if lives is None or lives > 2 * REGISTERED_FOR else None
        while self._standing is None:
            await self._register(connection, me)
            try:
                if workflow.cancellation_reason() is not None:  # it came while the signal was under way, which hides it
                    raise asyncio.CancelledError
                with suppress(TimeoutError):
                    await workflow.wait_condition(
                        lambda: self._standing is not None, timeout=anew, timeout_summary="registers anew"
                    )
            except asyncio.CancelledError:
                await connection.signal(Signal.STOP_AWAITING, me)
                raise
        return self._standing

    async def _register(self, connection: workflow.ExternalWorkflowHandle[Any], me: Waiter) -> None:
        """Whoever asks is told of a connection that has ended; one that has not may lack its workflow for a while.

        Raises:
            ApplicationError: it has had none for so long that it has ended meanwhile.
        """
        given_up, pause = workflow.now() + MISSING_AT_MOST, FIRST_PAUSE
        while True:
            try:
                await connection.signal(Signal.AWAIT_ACTIVE, me)
                return
            except FailureError:
                if workflow.cancellation_reason() is not None:
                    raise
                if workflow.now() >= given_up:
                    raise ApplicationError(
                        "the connection has ended", type="Disconnected", non_retryable=True
                    ) from None
            await workflow.sleep(pause, summary="until the connection's workflow is there again")
            pause = min(pause * 2, LONGEST_PAUSE)

    @workflow.signal(name=Signal.SETTLED)
    def settled(self, standing: ConnectionStanding) -> None:
        """The connection is active, or has ended."""
        self._standing = standing
