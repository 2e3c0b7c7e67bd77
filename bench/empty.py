"""What a refresh is compared with: a timer and an activity that does nothing, as anybody would write it."""

from __future__ import annotations

from datetime import timedelta

from temporalio import activity, workflow

EMPTY_LOOP = "EmptyLoop"


@activity.defn
async def nothing() -> None:
    return None


@workflow.defn(name=EMPTY_LOOP)
class EmptyLoop:
    @workflow.run
    async def run(self) -> None:
        while not workflow.info().is_continue_as_new_suggested():
            await workflow.sleep(1)
            await workflow.execute_activity(nothing, start_to_close_timeout=timedelta(seconds=10))
        workflow.continue_as_new()
