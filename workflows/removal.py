"""Something is taken away with all of its connections: each of them hears of it, however many they are."""

from __future__ import annotations

from datetime import timedelta
from typing import TypeVar

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from everlink.contract import (
        Activity,
        RemovalKind,
        RemovalPage,
        RemovalPageTask,
        RemovalState,
        Workflow,
        verbatim,
    )
    from workflows import options, page

STEPS_PER_RUN = 200  # pages told or looks taken: some 1,500 events of history
FIRST_WAIT, LONGEST_WAIT = 1.0, timedelta(minutes=5).total_seconds()

Result = TypeVar("Result")

WHAT_IT_IS = {
    RemovalKind.APPLICATION: "the application {}. Its connections stay, and their customers have to reconnect",
    RemovalKind.LINKED_ACCOUNT: "the linked account {}: its connections end, then all that is known of it goes",
    RemovalKind.ORGANIZATION: "all that organization {} has in this environment: every connection ends first",
}


@workflow.defn(name=Workflow.REMOVAL)
class RemovalWorkflow:
    """Goes through the connections in rounds until each has followed, and forgets what they belonged to.

    The store says who has not followed yet, so a round that was cut off, or a workflow that was lost, is begun again.
    """

    @workflow.run
    async def run(self, state: RemovalState) -> None:
        steps = 0
        while state.settle_until is None:
            self._continue_where_long(state, steps)
            steps += 1
            await self._tell_page(state)
        while await self._settles(state):
            self._continue_where_long(state, steps)
            steps += 1
            await self._wait(state, "what the connections still have on their way")
        while not await self._do(Activity.FINISH_REMOVAL, state.task, bool, "forget the rows"):
            self._continue_where_long(state, steps)
            steps += 1
        workflow.set_current_details(f"removed; {state.done} connections were told")

    async def _tell_page(self, state: RemovalState) -> None:
        """One page of those who have not followed; after the last, another round, until nobody is left."""
        told = await self._do(
            Activity.REMOVE_CONNECTIONS,
            RemovalPageTask(task=state.task, after=state.after),
            RemovalPage,
            f"round {state.round + 1}, {state.done} of {state.total} done",
        )
        if told.done > state.done:
            state.waits = 0
        state.after, state.total, state.done = told.after, told.total, told.done
        self._show(state, "working")
        if told.after is not None:
            return
        state.round += 1
        if told.done == told.total:
            state.waits, state.settle_until = 0, workflow.now() + options.SETTLE_FOR
        else:
            await self._wait(state, "the connections to follow")

    async def _settles(self, state: RemovalState) -> bool:
        """Whether revocations or events are still on their way, and may be."""
        assert state.settle_until is not None
        left = await self._do(Activity.SETTLE_REMOVAL, state.task, int, "count what is on its way")
        return left > 0 and workflow.now() < state.settle_until

    async def _wait(self, state: RemovalState, what: str) -> None:
        seconds = min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** min(state.waits, 10))
        state.waits += 1
        again = page.clock(workflow.now() + timedelta(seconds=seconds))
        self._show(state, f"waiting for {what}; the next look is at {again}")
        await workflow.sleep(seconds, summary=f"{state.done} of {state.total} done; look again {again}")

    async def _do(self, activity: Activity, task: object, result: type[Result], summary: str) -> Result:
        done: Result = await workflow.execute_activity(
            activity,
            task,
            result_type=result,
            start_to_close_timeout=options.SWEEP,
            heartbeat_timeout=options.PAGE_HEARTBEAT,
            retry_policy=options.WITHOUT_END,
            summary=summary,
        )
        return done

    def _continue_where_long(self, state: RemovalState, steps: int) -> None:
        if steps >= STEPS_PER_RUN:
            workflow.continue_as_new(
                state, initial_versioning_behavior=workflow.ContinueAsNewVersioningBehavior.AUTO_UPGRADE
            )

    def _show(self, state: RemovalState, what: str) -> None:
        lines = [
            f"Removes {WHAT_IT_IS[state.task.kind].format(verbatim(state.task.subject))}.",
            "",
            f"- Connections: **{state.done} of {state.total}** done, round {state.round + 1}",
            f"- Now: {what}",
        ]
        if state.settle_until is not None:
            lines.append(f"- Whatever is left is forgotten after {page.clock(state.settle_until)}")
        workflow.set_current_details("\n".join(lines))
