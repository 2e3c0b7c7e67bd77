"""History events of a refresh, read from the histories of connections that ran into continue-as-new."""

from __future__ import annotations

import asyncio

from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowExecution

from bench.lab import Lab
from bench.report import Part, spread

CONNECTIONS = 10
TOKEN_SECONDS = 0.5  # Temporal makes at least one second of any timer
DEADLINE_SECONDS = 120
WHOLE_RUNS = "WorkflowType = 'Connection' AND ExecutionStatus = 'ContinuedAsNew'"


async def measure(lab: Lab) -> Part:
    async with lab.site("histories") as site, site.worker():
        temporal = site.made.temporal
        handles = await site.wake(await site.seed(CONNECTIONS, TOKEN_SECONDS, TOKEN_SECONDS))
        async with asyncio.timeout(DEADLINE_SECONDS):
            while (await temporal.count_workflows(WHOLE_RUNS)).count < CONNECTIONS:
                await asyncio.sleep(0.5)
        samples = [await _read(temporal, run) async for run in temporal.list_workflows(WHOLE_RUNS)]
        for handle in handles:
            await handle.terminate()
    per_refresh = [sample["events"] / sample["refreshes"] for sample in samples]
    figures = {
        "events per refresh, continue-as-new included": spread(per_refresh),
        "bytes per refresh": spread([sample["bytes"] / sample["refreshes"] for sample in samples]),
        "refreshes in a run": spread([sample["refreshes"] for sample in samples]),
    }
    return Part(list(samples), figures)


async def _read(temporal: Client, run: WorkflowExecution) -> dict[str, float]:
    history = await temporal.get_workflow_handle(run.id, run_id=run.run_id).fetch_history()
    markers = sum(event.event_type == EventType.EVENT_TYPE_MARKER_RECORDED for event in history.events)
    normal = sum(event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED for event in history.events)
    return {
        "events": len(history.events),
        "bytes": sum(event.ByteSize() for event in history.events),
        "refreshes": markers + normal,
    }
