"""A workflow whose commands stand in the order in which its branches hear of their activities, turn by turn."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.exceptions import ActivityError, FailureError

HOUR = timedelta(hours=1)
NOBODYS = "nobody-works-here"
TIMER = timedelta(seconds=5)  # enough to stop a worker
STEPS = 12  # more turns than any branch needs


@workflow.defn
class Turns:
    """All that it waits for comes while no worker runs, and so at once; each branch then schedules an activity.

    The branch of the timer schedules one in every turn, and so counts turns for the others.
    """

    def __init__(self) -> None:
        self._fired = False

    @workflow.run
    async def run(self, queue: str) -> None:
        async with asyncio.TaskGroup() as branches:
            for branch in (
                self._counts_turns(),
                _awaits(queue),
                _gathers(queue),
                _waits_for(queue),
                _shields(queue),
                _selects(queue),
                _calls_back(queue),
                _fails(queue),
                _is_local(),
                self._cancels(),
                self._times_out(),
            ):
                branches.create_task(branch)

    async def _counts_turns(self) -> None:
        await workflow.sleep(TIMER)
        self._fired = True
        for step in range(STEPS):
            _mark(f"turn {step}")
            await asyncio.sleep(0)

    async def _cancels(self) -> None:
        one = _start("never", NOBODYS)
        await workflow.wait_condition(lambda: self._fired)
        one.cancel()
        try:
            await one
        except ActivityError:
            _mark("cancelled")

    async def _times_out(self) -> None:
        """The activity is as good as done when it is cancelled."""
        one = _start("never", NOBODYS)
        await workflow.wait_condition(lambda: self._fired)
        try:
            await asyncio.wait_for(one, 0)
        except (TimeoutError, FailureError):
            _mark("timed out")


async def _awaits(queue: str) -> None:
    await _start("works", queue)
    _mark("awaited")


async def _gathers(queue: str) -> None:
    await asyncio.gather(_start("works", queue), _start("fails", queue), return_exceptions=True)
    _mark("gathered")


async def _waits_for(queue: str) -> None:
    await asyncio.wait_for(_start("works", queue), HOUR.total_seconds())
    _mark("waited for")


async def _shields(queue: str) -> None:
    await asyncio.shield(_start("works", queue))
    _mark("shielded")


async def _selects(queue: str) -> None:
    running: list[Any] = [_start("works", queue), _start("works", queue)]
    while running:
        done, running = await workflow.wait(running, return_when=asyncio.FIRST_COMPLETED)
        _mark(f"selected {len(done)}")


async def _calls_back(queue: str) -> None:
    one = _start("works", queue)

    def first(done: Any) -> None:
        _mark(f"first call back of {done is one}")

    def removed(_: Any) -> None:
        _mark("removed")

    def second(_: Any) -> None:
        _mark("second call back")

    for callback in (first, removed, second):
        one.add_done_callback(callback)
    _mark(f"removed {one.remove_done_callback(removed)}")
    await workflow.wait([one])
    _mark("called back")


async def _fails(queue: str) -> None:
    try:
        await _start("fails", queue)
    except ActivityError:
        _mark("failed")


async def _is_local() -> None:
    await workflow.execute_local_activity("works", start_to_close_timeout=HOUR)
    _mark("local")


def _start(name: str, queue: str) -> workflow.ActivityHandle[Any]:
    return workflow.start_activity(name, task_queue=queue, start_to_close_timeout=HOUR)


def _mark(name: str) -> None:
    """A command that tells its place: a replay compares the types of activities."""
    _start(f"mark: {name}", NOBODYS)
