"""The waits of one workflow run: one for each dead connection, however many activities have met it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError, NexusOperationError

from everlink.contract import ConnectionStatus
from everlink.plugin.asking import ask_by_activity, ask_by_nexus, is_refused
from everlink.plugin.details import line
from everlink.plugin.failures import DeadConnection

# A workflow may have 30 Nexus operations at a time, and one more fails its task: the rest is for the user's own.
BY_NEXUS = 25
FIRST_PAUSE = timedelta(seconds=5)
LONGEST_PAUSE = timedelta(hours=1)  # a round costs a score of events, and a run may have some 50,000
CALM = timedelta(minutes=10)  # after this long without a failure, the next one is news


@dataclass
class _OpenWait:
    """One wait, which goes on while somebody waits."""

    dead: DeadConnection
    began: datetime
    deadlines: list[datetime | None] = field(default_factory=list)  # of each who waits; None: for ever
    task: asyncio.Task[bool] | None = None

    @property
    def line(self) -> str:
        limits = [deadline for deadline in self.deadlines if deadline is not None]
        return line(self.dead, self.began, max(limits) if len(limits) == len(self.deadlines) else None)


@dataclass(frozen=True)
class _EndedWait:
    """A wait that was waited for to its end."""

    at: datetime
    pause: timedelta  # with which it had begun


class Waits:
    """All waits of one run. Everything is decided from the run's history and clock."""

    def __init__(self) -> None:
        self._open: dict[str, _OpenWait] = {}
        self._ended: dict[str, _EndedWait] = {}
        self._operations = 0  # of Nexus that have not ended, also where nobody waits for them any more

    @property
    def lines(self) -> list[str]:
        """What is waited for, in words."""
        return [wait.line for wait in self._open.values() if wait.deadlines]

    async def until_active(self, dead: DeadConnection, task_queue: str, deadline: datetime | None) -> bool:
        """Whether the activity is to run again: not once the deadline is over, or it will never be active again."""
        remaining = None if deadline is None else (deadline - workflow.now()).total_seconds()
        if remaining is not None and remaining <= 0:
            return False
        wait = self._open.get(dead.connection_id) or self._begin(dead, task_queue)
        assert wait.task is not None
        wait.deadlines.append(deadline)
        try:
            await workflow.wait_condition(wait.task.done, timeout=remaining, timeout_summary=f"give up on {dead.whose}")
            return wait.task.result()
        except TimeoutError:
            return False
        finally:
            wait.deadlines.remove(deadline)
            if not wait.deadlines and not wait.task.done():
                wait.task.cancel()
                self._close(wait)

    def _begin(self, dead: DeadConnection, task_queue: str) -> _OpenWait:
        wait = _OpenWait(dead, workflow.now())
        self._open[dead.connection_id] = wait
        wait.task = asyncio.create_task(self._run(wait, task_queue), name=f"wait for {dead.connection_id}")
        return wait

    def _close(self, wait: _OpenWait) -> None:
        if self._open.get(wait.dead.connection_id) is wait:
            del self._open[wait.dead.connection_id]

    async def _run(self, wait: _OpenWait, task_queue: str) -> bool:
        """Wait until the connection is active, True, or never will be."""
        pause = self._pause_before(wait.dead.connection_id)
        try:
            if pause:
                # Everlink found that the connection works, and yet the activity failed again.
                await workflow.sleep(pause, summary=f"{wait.dead.whose} was refused again")
            status = await self._ask(wait, task_queue)
        finally:
            self._close(wait)
        if wait.deadlines:
            self._ended[wait.dead.connection_id] = _EndedWait(workflow.now(), pause)
        return status is ConnectionStatus.ACTIVE

    def _pause_before(self, connection_id: str) -> timedelta:
        ended = self._ended.get(connection_id)
        if ended is None or workflow.now() - ended.at > CALM:
            return timedelta()
        return min(max(ended.pause * 2, FIRST_PAUSE), LONGEST_PAUSE)

    async def _ask(self, wait: _OpenWait, task_queue: str) -> ConnectionStatus | None:
        """The status with which the wait ends; None where nobody will ever say."""
        pause, endpoint = FIRST_PAUSE, wait.dead.endpoint
        while True:
            asked = workflow.now()
            try:
                if endpoint is None or self._operations >= BY_NEXUS:
                    return await ask_by_activity(wait.dead, task_queue)
                return await self._operate(wait.dead, endpoint)
            except ActivityError:
                return None
            except NexusOperationError as error:
                if not wait.deadlines:
                    return None
                if is_refused(error):
                    endpoint = None
                    continue
            if workflow.now() - asked > CALM:
                pause = FIRST_PAUSE  # it was answered, if only by its timeout
            await workflow.sleep(pause, summary=f"before asking again about {wait.dead.whose}")
            pause = min(pause * 2, LONGEST_PAUSE)

    async def _operate(self, dead: DeadConnection, endpoint: str) -> ConnectionStatus:
        self._operations += 1
        try:
            return await ask_by_nexus(dead, endpoint)
        finally:
            self._operations -= 1
