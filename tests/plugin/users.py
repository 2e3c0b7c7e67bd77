"""A user's workflows. They know nothing of the plugin, except where they say how long to wait."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.exceptions import ActivityError, is_cancelled_exception

import everlink

SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)


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
class Telling(Sync):
    """Shows other details while it waits."""

    @workflow.run
    async def run(self, connection_id: str) -> list[str]:
        return await super().run(connection_id)

    @workflow.signal
    def tell(self, details: str) -> None:
        workflow.set_current_details(details)


@workflow.defn
class Several:
    """Activities in the background, which a signal cancels one by one."""

    def __init__(self) -> None:
        self._running: list[workflow.ActivityHandle[str]] = []
        self._last = False

    @workflow.run
    async def run(self, connection_id: str, many: int) -> list[str]:
        self._running = [start(connection_id) for _ in range(many)]
        found = await asyncio.gather(*self._running, return_exceptions=True)
        await workflow.wait_condition(lambda: self._last)
        return [one if isinstance(one, str) else f"cancelled: {is_cancelled_exception(one)}" for one in found]

    @workflow.signal
    def cancel(self, number: int) -> None:
        self._running[number].cancel()

    @workflow.signal
    def finish(self) -> None:
        self._last = True


@workflow.defn
class Renewing:
    """Continues as new while an activity of its waits in the background."""

    def __init__(self) -> None:
        self._renew = False

    @workflow.run
    async def run(self, connection_id: str, runs: int) -> str:
        running = start(connection_id)
        await workflow.wait(
            [running, asyncio.create_task(workflow.wait_condition(lambda: self._renew))],
            return_when=asyncio.FIRST_COMPLETED,
        )
        if self._renew:
            workflow.continue_as_new(args=[connection_id, runs + 1])
        return f"{await running} in run {runs}"

    @workflow.signal
    def renew(self) -> None:
        self._renew = True


@workflow.defn
class Hasty:
    """Gives its activity less time than a customer needs, and one run a name."""

    @workflow.run
    async def run(self, connection_id: str) -> str:
        return await start(connection_id, schedule_to_close_timeout=3 * SECOND, activity_id="mine")


@workflow.defn
class Elsewhere:
    """Its activity has workers of its own."""

    @workflow.run
    async def run(self, connection_id: str, task_queue: str) -> str:
        return await start(connection_id, task_queue=task_queue)


@workflow.defn
class Leaving:
    """Ends while an activity of its waits."""

    def __init__(self) -> None:
        self._leave = False

    @workflow.run
    async def run(self, connection_id: str) -> str:
        self._running = start(connection_id)
        await workflow.wait_condition(lambda: self._leave)
        return "left"

    @workflow.signal
    def leave(self) -> None:
        self._leave = True


@workflow.defn
class Timed:
    """Cancels by asyncio's own means."""

    @workflow.run
    async def run(self, connection_id: str) -> str:
        try:
            await asyncio.wait_for(start(connection_id), 2)
        except (TimeoutError, ActivityError) as error:
            return type(error).__name__
        return "in time"


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
            await workflow.sleep(SECOND)  # what it cleans up takes a moment
            return f"compensated, cancelled: {is_cancelled_exception(error)}"
        return "not cancelled"


@workflow.defn
class Finishing:
    """Lets an activity that it cancels come to its end."""

    @workflow.run
    async def run(self, connection_id: str) -> str:
        return await start(
            connection_id, cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED
        )
