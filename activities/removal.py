"""Tells connections that what they belonged to is being removed, and forgets it at the end."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Any

from temporalio import activity
from temporalio.client import Client, WithStartWorkflowOperation, WorkflowUpdateStage
from temporalio.exceptions import WorkflowAlreadyStartedError

from activities.pages import each
from activities.shared import Shared
from activities.starting import START_TIMEOUT
from activities.telling import connection_options, tell
from everlink.contract import (
    Activity,
    ApplicationDeleted,
    ConnectionView,
    DisconnectCommand,
    RemovalKind,
    RemovalPage,
    RemovalPageTask,
    RemovalTask,
    Signal,
    Update,
    Workflow,
)
from store.erasing import Erasing
from store.removals import Removals
from store.tables import Connection

PAGE = 100
FORGET_SECONDS = 60.0  # of one activity; the workflow asks for more


class RemovalActivities:
    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._removals = Removals(shared.database)
        self._erasing = Erasing(shared.database)

    @activity.defn(name=Activity.REMOVE_CONNECTIONS)
    async def remove_connections(self, page: RemovalPageTask) -> RemovalPage:
        """Tell a page of those who have not followed yet. Each message is idempotent."""
        task = page.task
        rows = await self._removals.page(task, page.after or "", PAGE)
        tell = self._take_application if task.kind is RemovalKind.APPLICATION else self._disconnect
        outcome = await each(rows, tell, lambda last: last.id, PAGE)
        done, total = await self._removals.progress(task)
        return RemovalPage(after=outcome.after, total=total, done=done, failed=outcome.failed)

    @activity.defn(name=Activity.SETTLE_REMOVAL)
    async def settle_removal(self, task: RemovalTask) -> int:
        """How much is on its way that forgetting would cut off."""
        return await self._removals.on_their_way(task)

    @activity.defn(name=Activity.FINISH_REMOVAL)
    async def finish_removal(self, task: RemovalTask) -> bool:
        """Forget the rows; False where some are left for another time. Idempotent."""
        begun = monotonic()
        while await self._erasing.forget(task):
            activity.heartbeat()
            if monotonic() - begun > FORGET_SECONDS:
                return False
        await self._erasing.finish(task, self._shared.clock())
        return True

    async def _take_application(self, row: Connection) -> bool:
        told_by = activity.info()
        message = ApplicationDeleted(request_id=f"{told_by.workflow_run_id}/{told_by.activity_id}")
        return await tell(self._shared, row, Signal.APPLICATION_DELETED, message)

    async def _disconnect(self, row: Connection) -> bool:
        start: WithStartWorkflowOperation[Any, Any] = WithStartWorkflowOperation(
            Workflow.CONNECTION, **await connection_options(self._shared, row)
        )
        try:
            async with asyncio.timeout(START_TIMEOUT.total_seconds()):
                await self._temporal.start_update_with_start_workflow(
                    Update.DISCONNECT,
                    DisconnectCommand(),
                    wait_for_stage=WorkflowUpdateStage.ACCEPTED,
                    start_workflow_operation=start,
                    result_type=ConnectionView,
                )
        except WorkflowAlreadyStartedError:
            return False
        return True

    @property
    def _temporal(self) -> Client:
        assert self._shared.temporal is not None
        return self._shared.temporal
