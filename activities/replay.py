"""Sends events to an endpoint once more, page by page: the store first, then the workflows that deliver them."""

from __future__ import annotations

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.pages import each
from activities.shared import Shared
from activities.starting import start_delivery
from everlink.contract import Activity, FinishReplayTask, ReplayPage, ReplayPageTask
from store.replays import Replays
from store.strays import ScheduledDelivery


class ReplayActivities:
    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._replays = Replays(shared.database)

    @activity.defn(name=Activity.REPLAY_EVENTS)
    async def replay_events(self, page: ReplayPageTask) -> ReplayPage:
        """The next events, and a workflow for each delivery that the pages since `started` have left without one.

        A try that is cut off between the two is made up for by the next; what is started twice runs once.
        """
        how_far = await self._replays.page(page.task, self._shared.clock())
        waiting = await self._replays.to_start(page.task, page.started)
        begun = await each(waiting, self._start, lambda last: last.task.event_id, len(waiting) + 1)
        if begun.failed:
            raise ApplicationError("some deliveries could not be started", type="NotStarted")
        return how_far

    @activity.defn(name=Activity.FINISH_REPLAY)
    async def finish_replay(self, task: FinishReplayTask) -> None:
        """Record that all are on their way, or why not. Idempotent."""
        await self._replays.finish(task.task, task.note, self._shared.clock())

    async def _start(self, delivery: ScheduledDelivery) -> bool:
        assert self._shared.temporal is not None
        return await start_delivery(self._shared.temporal, delivery)
