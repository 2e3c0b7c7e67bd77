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
MAX_RETRY_AFTER = timedelta(hours=24).total_seconds()


@workflow.defn(name=Workflow.DELIVERY)
class DeliveryWorkflow:
    """Tries until the endpoint takes the event, is gone, or the schedule is exhausted."""

    @workflow.run
    async def run(self, task: DeliveryTask) -> str:
        # One that was lost goes on where its row stood, and has always one attempt left.
        attempt = min(task.attempts, len(DELAYS) - 1)
        outcome, wait = AttemptOutcome(note="not tried"), 0.0
        while attempt < len(DELAYS) and not (outcome.delivered or outcome.stop):
            if wait > 0:
                due = page.clock(workflow.now() + timedelta(seconds=wait))
                workflow.set_current_details(f"attempt {attempt + 1} of {len(DELAYS)} at {due}: {outcome.note}")
                await workflow.sleep(wait, summary=f"attempt {attempt + 1} due {due}")
            attempt += 1
            wait = self._next_wait(attempt)
            outcome = await self._attempt(task, attempt, wait if attempt < len(DELAYS) else None)
            wait = max(wait, min(outcome.retry_after or 0.0, MAX_RETRY_AFTER))
        await self._close(task, outcome)
        workflow.set_current_details(f"{outcome.note}, after {attempt} attempts")
        return outcome.note

    def _next_wait(self, attempt: int) -> float:
        if attempt >= len(DELAYS):
            return 0.0
        return DELAYS[attempt] * workflow.random().uniform(1.0, 1.1)

    async def _attempt(self, task: DeliveryTask, attempt: int, next_delay: float | None) -> AttemptOutcome:
        outcome: AttemptOutcome = await workflow.execute_activity(
            Activity.DELIVER_WEBHOOK,
            AttemptTask(delivery=task, attempt=attempt, next_delay=next_delay),
            result_type=AttemptOutcome,
            start_to_close_timeout=options.DELIVERY_CALL,
            retry_policy=options.WITHOUT_END,
            summary=f"attempt {attempt} of {len(DELAYS)}",
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
