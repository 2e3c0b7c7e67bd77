"""A user's workflows. They know nothing of the plugin, except where they say how long to wait."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.exceptions import ActivityError, is_cancelled_exception

import everlink

MINUTE = timedelta(minutes=1)


def start(connection_id: str, **options: Any) -> workflow.ActivityHandle[str]:
    return workflow.start_activity("sync", connection_id, **{"start_to_close_timeout": MINUTE, **options})


@workflow.defn
class Sync:
    """One activity, then another one."""

    @workflow.run
    async def run(self, connection_id: str) -> list[str]:
        workflow.set_current_details("syncing")
        return [await start(connection_id), await start(connection_id)]


@workflow.defn
class Crowd:
    """Many activities at once, on the connections that are named."""

    @workflow.run
    async def run(self, connection_ids: list[str]) -> list[str]:
        return await asyncio.gather(*(start(connection_id) for connection_id in connection_ids))


@workflow.defn
class Local:
    @workflow.run
    async def run(self, connection_id: str) -> str:
        return await workflow.execute_local_activity(
            "sync", connection_id, result_type=str, start_to_close_timeout=MINUTE
        )


@workflow.defn
class Limited:
    """Waits as long as it says itself."""

    @workflow.run
    async def run(self, connection_id: str, seconds: float | None) -> str:
        wait = everlink.Wait.FOREVER if seconds is None else everlink.Wait.at_most(timedelta(seconds=seconds))
        with everlink.waiting(wait):
            return await start(connection_id)


@workflow.defn
class Parent:
    @workflow.run
    async def run(self, connection_id: str) -> list[str]:
        return await workflow.execute_child_workflow(Sync.run, connection_id)


@workflow.defn
class Catching:
    """What a cancellation looks like to a user's code."""

    @workflow.run
    async def run(self, connection_id: str) -> str:
        try:
            await start(connection_id)
        except ActivityError as error:
            return f"compensated, cancelled: {is_cancelled_exception(error)}"
        return "not cancelled"
