"""What is due and has nobody who does it: found and started again, page by page."""

from __future__ import annotations

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from everlink.contract import Activity, SweepOutcome, SweepTask, UpkeepState, Workflow
    from workflows import options

PAGES_PER_RUN = 200  # some 1,500 events of history
WHAT = {
    Activity.SWEEP_DELIVERIES: "deliveries whose next attempt is overdue",
    Activity.SWEEP_GRANTS: "grants that no workflow has confirmed",
    Activity.SWEEP_OVERDUE: "connections that nobody renews",
    Activity.SWEEP_FLEET: "connections without a workflow, in part {0.part} of {0.parts}",
    Activity.SWEEP_REMOVALS: "removals that have not ended",
    Activity.SWEEP_REPLAYS: "replays that have not ended",
    Activity.SWEEP_OUTAGES: "outages of applications that are over",
    Activity.SWEEP_INBOX: "events of providers that nobody has passed on",
}


@workflow.defn(name=Workflow.UPKEEP)
class UpkeepWorkflow:
    """One round, begun by a Schedule. Its result is where the next round goes on with the fleet."""

    def __init__(self) -> None:
        self._said: list[str] = []

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
            what = WHAT[state.todo[0]].format(state)
            outcome = await self._page(state, what)
            pages += 1
            self._show(what, outcome)
            state.pages += 1
            state.mended += outcome.mended
            state.failed += outcome.failed
            state.after = outcome.after
            if outcome.after is None:
                del state.todo[0]
        return state

    def _show(self, what: str, outcome: SweepOutcome) -> None:
        """What was looked for, the latest first; what fails is tried again by the next round."""
        if outcome.mended or outcome.failed:
            self._said.insert(0, f"- {what}: {outcome.mended} mended, {outcome.failed} failed")
        found = self._said or ["- nothing to mend: all that is due has somebody who does it"]
        lines = ["Looks for what is due and has nobody who does it, and mends that.", "", *found]
        workflow.set_current_details("\n".join(lines))

    async def _page(self, state: UpkeepState, what: str) -> SweepOutcome:
        try:
            outcome: SweepOutcome = await workflow.execute_activity(
                state.todo[0],
                SweepTask(after=state.after, part=state.part, parts=state.parts),
                result_type=SweepOutcome,
                start_to_close_timeout=options.SWEEP,
                retry_policy=options.SWEEP_TRIES,
                summary=f"{what}, page {state.pages + 1}",
            )
            return outcome
        except ActivityError:
            return SweepOutcome(after=None, failed=1)  # the next round tries it again; the other work goes on


def _next_part(parts: int) -> int:
    last = workflow.get_last_completion_result(UpkeepState) if workflow.has_last_completion_result() else None
    return 0 if last is None or last.part is None else (last.part + 1) % parts
