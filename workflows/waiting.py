"""Somebody's wait for one connection: the workflow behind the Nexus operation `await_active`."""

from __future__ import annotations

import asyncio

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


@workflow.defn(name=Workflow.WAITING)
class WaitingWorkflow:
    """Registers with the connection and sleeps until it is told: no slot, no poll, no timer."""

    @workflow.init
    def __init__(self, _: ConnectionAsked) -> None:
        self._standing: ConnectionStanding | None = None

    @workflow.run
    async def run(self, asked: ConnectionAsked) -> ConnectionStanding:
        info = workflow.info()
        connection = workflow.get_external_workflow_handle(connection_workflow_id(asked.connection_id))
        lives = info.execution_timeout
        me = Waiter(workflow_id=info.workflow_id, until=None if lives is None else info.workflow_start_time + lives)
        try:
            await connection.signal(Signal.AWAIT_ACTIVE, me)
        except FailureError:
            if workflow.cancellation_reason() is not None:
                raise
            raise ApplicationError("the connection has ended", type="Disconnected", non_retryable=True) from None
        try:
            if workflow.cancellation_reason() is not None:  # it came while the signal was on its way, which swallows it
                raise asyncio.CancelledError
            await workflow.wait_condition(lambda: self._standing is not None)
        except asyncio.CancelledError:
            await connection.signal(Signal.STOP_AWAITING, me)
            raise
        assert self._standing is not None
        return self._standing

    @workflow.signal(name=Signal.SETTLED)
    def settled(self, standing: ConnectionStanding) -> None:
        """The connection is active, or has ended."""
        self._standing = standing
