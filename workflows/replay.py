"""Many events go to one endpoint once more: a page at a time, no faster than it takes them."""

from __future__ import annotations

from datetime import timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from everlink.contract import (
        Activity,
        FinishReplayTask,
        ReplayPage,
        ReplayPageTask,
        ReplayState,
        Workflow,
    )
    from workflows import options, page

STEPS_PER_RUN = 200  # pages or looks: some 1,500 events of history
FIRST_WAIT, LONGEST_WAIT = 1.0, timedelta(minutes=1).total_seconds()


@workflow.defn(name=Workflow.REPLAY)
class ReplayWorkflow:
    """Is over once all events are on their way. How each fares is its delivery's matter.

    The store knows how far it is, so that a workflow that was lost is begun again.
    """

    @workflow.run
    async def run(self, state: ReplayState) -> str:
        steps = 0
        while not (sent := await self._page(state)).is_over:
            steps += 1
            if sent.is_full:
                await self._wait(state, sent)
            else:
                state.started, state.waits = sent.position, 0
            if steps >= STEPS_PER_RUN:
                workflow.continue_as_new(
                    state, initial_versioning_behavior=workflow.ContinueAsNewVersioningBehavior.AUTO_UPGRADE
                )
        await self._finish(state, sent)
        ended = sent.note or "all are on their way"
        self._show(state, sent, ended)
        return ended

    async def _page(self, state: ReplayState) -> ReplayPage:
        sent: ReplayPage = await workflow.execute_activity(
            Activity.REPLAY_EVENTS,
            ReplayPageTask(task=state.task, started=state.started),
            result_type=ReplayPage,
            start_to_close_timeout=options.SWEEP,
            heartbeat_timeout=options.PAGE_HEARTBEAT,
            retry_policy=options.WITHOUT_END,
            summary=f"events behind position {state.started}",
        )
        self._show(state, sent, "working")
        return sent

    async def _wait(self, state: ReplayState, sent: ReplayPage) -> None:
        seconds = min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** min(state.waits, 10))
        state.waits += 1
        again = page.clock(workflow.now() + timedelta(seconds=seconds))
        self._show(state, sent, f"waiting for the endpoint to take what is on its way; the next look is at {again}")
        await workflow.sleep(seconds, summary=f"the endpoint has enough on its hands; look again {again}")

    async def _finish(self, state: ReplayState, sent: ReplayPage) -> None:
        await workflow.execute_activity(
            Activity.FINISH_REPLAY,
            FinishReplayTask(task=state.task, note=sent.note),
            start_to_close_timeout=options.STORE_CALL,
            retry_policy=options.WITHOUT_END,
            summary="record that it is over",
        )

    def _show(self, state: ReplayState, sent: ReplayPage, what: str) -> None:
        lines = [
            f"Sends events to `{state.task.endpoint_id}` once more.",
            "",
            f"- Events up to position **{sent.position} of {sent.until}** are seen to; sent again: {sent.replayed}",
            f"- Now: {what}",
        ]
        workflow.set_current_details("\n".join(lines))
