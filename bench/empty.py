"""What Everlink is compared with, as anybody would write it.

A refresh: a timer and an activity that does nothing. A webhook: an activity that tells when it ran, upon a signal.
"""

from __future__ import annotations

import time
from datetime import timedelta

from temporalio import activity, workflow

EMPTY_LOOP = "EmptyLoop"
SIGNALLED = "Signalled"


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


@activity.defn
async def moment() -> float:
    """By the clock that all processes of the machine share."""
    return time.time()


@workflow.defn(name=SIGNALLED)
class Signalled:
    def __init__(self) -> None:
        self._went = False

    @workflow.signal
    def go(self) -> None:
        self._went = True

    @workflow.run
    async def run(self) -> float:
        await workflow.wait_condition(lambda: self._went)
        return await workflow.execute_activity(moment, start_to_close_timeout=timedelta(seconds=10))
