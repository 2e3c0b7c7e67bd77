"""Tells connections what their provider said of their grants: page by page, and each at least once."""

from __future__ import annotations

import asyncio

from temporalio import activity

from activities.pages import AT_ONCE, each
from activities.shared import Shared
from activities.telling import tell
from everlink.contract import Activity, DispatchOutcome, DispatchTask, ProviderEvent, ProviderEventKind, Signal
from store.inbox import Inbox
from store.tables import Connection, ProviderEventRow

EVENTS, CONNECTIONS = 100, 100  # on a page


class DispatchActivities:
    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._inbox = Inbox(shared.database)

    @activity.defn(name=Activity.DISPATCH_EVENTS)
    async def dispatch_events(self, task: DispatchTask) -> DispatchOutcome:
        """A page of events that wait. How far each is, its row knows: a try that was cut off goes on from there.

        A connection that is told twice believes it once, by the event's id.
        """
        gate, told = asyncio.Semaphore(AT_ONCE), 0

        async def one(event: ProviderEventRow) -> bool:
            nonlocal told
            told += await self._dispatch(event, gate)
            return True

        waiting = await self._inbox.waiting(task.task, task.after, EVENTS)
        outcome = await each(waiting, one, lambda last: last.id, EVENTS)
        return DispatchOutcome(after=outcome.after, events=outcome.mended, told=told, failed=outcome.failed)

    async def _dispatch(self, event: ProviderEventRow, gate: asyncio.Semaphore) -> int:
        """Tell all whom an event is about; answers how many more were told now.

        Who cannot be told holds up no other: the rest is told, and a later try begins again with the first of them.
        """
        part, after, told = event.part, event.after, event.told
        failures = list[BaseException]()
        while part < len(event.ended):
            page = await self._inbox.concerned(event, part, after, CONNECTIONS)
            telling = (self._tell(event, part, row, gate) for row in page)
            outcomes = await asyncio.gather(*telling, return_exceptions=True)
            failures += [one for one in outcomes if isinstance(one, BaseException)]
            told += outcomes.count(True)
            part, after = (part, page[-1].id) if len(page) == CONNECTIONS else (part + 1, "")
            if part < len(event.ended) and not failures:
                await self._inbox.told(event, part, after, told)
        if failures:
            raise failures[0]
        await self._inbox.finish(event, told, self._shared.clock())
        return told - event.told

    async def _tell(self, event: ProviderEventRow, part: int, row: Connection, gate: asyncio.Semaphore) -> bool:
        kind = ProviderEventKind(event.ended[part]["kind"])
        message = ProviderEvent(request_id=f"{event.id}/{part}", kind=kind, occurred_at=event.occurred_at)
        async with gate:
            activity.heartbeat()
            return await tell(self._shared, row, Signal.PROVIDER_EVENT, message)
