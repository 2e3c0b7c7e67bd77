"""What an application's provider tells of grants reaches the connections, however many one event is about."""

from __future__ import annotations

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from everlink.contract import Activity, DispatchOutcome, DispatchTask, InboxState, Signal, Workflow
    from workflows import options

PAGES_PER_RUN = 200  # some 1,500 events of history
SIGNALS_PER_RUN = 500  # as many again; Temporal takes 10,000 and then refuses more


@workflow.defn(name=Workflow.INBOX)
class InboxWorkflow:
    """Looks through what waits in the store, and once more where something came meanwhile; then it is over.

    The store knows what has been told to whom, so that a look that was cut off, or a workflow that was lost, is begun
    again. What cannot be told now is left to upkeep.
    """

    @workflow.init
    def __init__(self, state: InboxState) -> None:
        self._state = state
        self._signals = 0

    @workflow.signal(name=Signal.EVENTS_CAME)
    def events_came(self) -> None:
        self._state.came = True
        self._signals += 1

    @workflow.run
    async def run(self, _: InboxState) -> str:
        state, pages = self._state, 0
        is_over = False
        while not is_over:
            if pages == PAGES_PER_RUN or self._signals >= SIGNALS_PER_RUN:
                workflow.continue_as_new(
                    state, initial_versioning_behavior=workflow.ContinueAsNewVersioningBehavior.AUTO_UPGRADE
                )
            if not state.after:
                state.came = False
            outcome = await self._page()
            pages += 1
            state.after = outcome.after or ""
            is_over = outcome.after is None and not state.came
        self._show("all that came is told" if not state.failed else "the rest is left to upkeep")
        return f"{state.events} events told to {state.told} connections"

    async def _page(self) -> DispatchOutcome:
        state = self._state
        self._show("telling")
        outcome: DispatchOutcome = await workflow.execute_activity(
            Activity.DISPATCH_EVENTS,
            DispatchTask(task=state.task, after=state.after),
            result_type=DispatchOutcome,
            start_to_close_timeout=options.SWEEP,
            heartbeat_timeout=options.PAGE_HEARTBEAT,
            retry_policy=options.WITHOUT_END,
            summary=f"tell the connections, after {state.events} events",
            priority=options.priority(state.task.org_id, urgent=True),
        )
        state.events += outcome.events
        state.told += outcome.told
        state.failed += outcome.failed
        return outcome

    def _show(self, what: str) -> None:
        state = self._state
        lines = [
            f"Passes on what **{state.task.slug}** tells of customers' grants in the {state.task.environment.value} "
            f"environment of organization `{state.task.org_id}`.",
            "",
            f"- Events that every connection was told of: **{state.events}**; connections told: {state.told}",
            f"- Now: {what}",
        ]
        if state.failed:
            lines.append(f"- Could not be told yet: {state.failed} events; upkeep tries them again within two minutes")
        workflow.set_current_details("\n".join(lines))
