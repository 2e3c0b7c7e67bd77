"""One event on its way to one webhook endpoint: a workflow whose history shows every attempt."""

from __future__ import annotations

from datetime import timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from everlink.contract import (
        Activity,
        AttemptOutcome,
        AttemptTask,
        CloseDeliveryTask,
        DeliveryTask,
        Workflow,
    )
    from workflows import options, page

# Seconds before each attempt: three days in all, as Standard Webhooks recommends.
DELAYS = (0, 5, 5 * 60, 30 * 60, 2 * 3600, 5 * 3600, 10 * 3600, 14 * 3600, 20 * 3600, 24 * 3600)
TRIES = len(DELAYS)


@workflow.defn(name=Workflow.DELIVERY)
class DeliveryWorkflow:
    """Tries until the endpoint takes the event, is gone, a replay goes on with it, or the schedule is exhausted."""

    def __init__(self) -> None:
        self._said: list[str] = []  # of each attempt, in words

    @workflow.run
    async def run(self, task: DeliveryTask) -> str:
        # One that was lost goes on where its row stood, and has always one attempt left.
        attempt = min(task.attempts, TRIES - 1) + 1
        while True:
            planned = self._delay_before(attempt + 1)
            outcome = await self._attempt(task, attempt, planned)
            if outcome.deferred:
                await self._wait(outcome.wait(0.0), f"attempt {attempt} of {TRIES}: {outcome.note}")
                continue
            said = f"attempt {attempt} of {TRIES}: {outcome.note}"
            self._said.append(f"{said} ({page.clock(workflow.now())})")
            if planned is None or outcome.delivered or outcome.stop:
                break
            await self._wait(outcome.wait(planned), said)
            attempt += 1
        if not outcome.closed:
            await self._close(task, outcome)
        self._show(f"{'Delivered' if outcome.delivered else 'Not delivered'}: {said}")
        return outcome.note

    def _delay_before(self, attempt: int) -> float | None:
        """None: there is no such attempt."""
        return DELAYS[attempt - 1] * workflow.random().uniform(1.0, 1.1) if attempt <= TRIES else None

    async def _wait(self, seconds: float, said: str) -> None:
        words = f"{said}; next {page.clock(workflow.now() + timedelta(seconds=seconds))}"
        self._show(words)
        await workflow.sleep(seconds, summary=words)

    def _show(self, words: str) -> None:
        """How it stands, and every attempt there was, the latest first."""
        lines = [f"**{words}**", "", *(f"- {said}" for said in reversed(self._said))]
        workflow.set_current_details("\n".join(lines))

    async def _attempt(self, task: DeliveryTask, attempt: int, next_delay: float | None) -> AttemptOutcome:
        outcome: AttemptOutcome = await workflow.execute_activity(
            Activity.DELIVER_WEBHOOK,
            AttemptTask(delivery=task, attempt=attempt, next_delay=next_delay),
            result_type=AttemptOutcome,
            start_to_close_timeout=options.DELIVERY_CALL,
            retry_policy=options.WITHOUT_END,
            priority=options.priority(task.org_id, urgent=False),
            summary=f"attempt {attempt} of {TRIES}",
        )
        return outcome

    async def _close(self, task: DeliveryTask, outcome: AttemptOutcome) -> None:
        await workflow.execute_activity(
            Activity.CLOSE_DELIVERY,
            CloseDeliveryTask(delivery=task, delivered=outcome.delivered, note=outcome.note),
            start_to_close_timeout=options.STORE_CALL,
            retry_policy=options.WITHOUT_END,
            summary="record how the delivery ended",
        )
