"""What is due and has nobody who does it: found and started again, page by page."""

from __future__ import annotations

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from everlink.contract import SweepOutcome, SweepTask, UpkeepState, Workflow
    from workflows import options

PAGES_PER_RUN = 200  # some 1,500 events of history


@workflow.defn(name=Workflow.UPKEEP)
class UpkeepWorkflow:
    """One round, begun by a Schedule. Its result is where the next round goes on with the fleet."""

    @workflow.run
    async def run(self, state: UpkeepState) -> UpkeepState:
        if state.part is None:
            state.part = _next_part(state.parts)
        pages = 0
        while state.todo:
            if pages == PAGES_PER_RUN:
                workflow.continue_as_new(
                    state, initial_versioning_behavior=workflow.ContinueAsNewVersioningBehavior.AUTO_UPGRADE
                )
            outcome = await self._page(state, state.part)
            pages += 1
            state.pages += 1
            state.mended += outcome.mended
            state.failed += outcome.failed
            state.after = outcome.after
            if outcome.after is None:
                del state.todo[0]
        return state

    async def _page(self, state: UpkeepState, part: int) -> SweepOutcome:
        try:
            outcome: SweepOutcome = await workflow.execute_activity(
                state.todo[0],
                SweepTask(after=state.after, part=part, parts=state.parts),
                result_type=SweepOutcome,
                start_to_close_timeout=options.SWEEP,
                retry_policy=options.SWEEP_TRIES,
                summary=f"page {state.pages + 1}",
            )
            return outcome
        except ActivityError:
            return SweepOutcome(after=None, failed=1)  # the next round tries it again; the other work goes on


def _next_part(parts: int) -> int:
    last = workflow.get_last_completion_result(UpkeepState) if workflow.has_last_completion_result() else None
    return 0 if last is None or last.part is None else (last.part + 1) % parts
