"""Temporal: the server, and what Everlink has there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import httpx
from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.operatorservice.v1 import ListNexusEndpointsRequest, ListSearchAttributesRequest
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest, DescribeTaskQueueRequest
from temporalio.client import Client, ScheduleActionExecutionStartWorkflow, WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from doctor import clock
from doctor.findings import Finding, Standing, failure, note, ok, warning
from everlink.contract import NEXUS_ENDPOINT, NEXUS_TASK_QUEUE, SEARCH_ATTRIBUTES, TASK_QUEUE, UPKEEP_SCHEDULE
from store.database import utc_now
from store.settings import Settings

TIMEOUT = timedelta(seconds=10)
RETENTION = timedelta(days=7)  # what is read of a connection's last days stays readable
ALIVE_FOR = timedelta(seconds=90)  # after the last poll; a poll takes 60 s at most
ROUND_EVERY = timedelta(minutes=1)


async def examine(settings: Settings) -> AsyncIterator[Finding]:
    reach = f"--address {settings.temporal_address}"
    try:
        async with asyncio.timeout(TIMEOUT.total_seconds()):
            client = await Client.connect(settings.temporal_address, namespace=settings.temporal_namespace)
    except (RuntimeError, RPCError, TimeoutError):
        said = f"{settings.temporal_address} cannot be reached"
        yield failure("Temporal", said, "start it, or correct EVERLINK_TEMPORAL_ADDRESS")
        return
    try:
        yield (found := await _namespace(client, reach))
        if found.standing is Standing.FAILURE:
            return
        reach = f"{reach} -n {client.namespace}"
        yield await _search_attributes(client, reach)
        yield await _worker(client)
        yield await _upkeep(client, reach)
        yield await _nexus(client, reach)
    except RPCError as error:
        yield failure("Temporal", f"it does not answer: {error.status.name}", "look at the server's log")
    if (theirs := await _web_ui_clock(settings.web_ui_url)) is not None:
        yield clock.compared("clock, beside the Web UI", theirs)


async def _namespace(client: Client, reach: str) -> Finding:
    name = client.namespace
    try:
        found = await client.workflow_service.describe_namespace(
            DescribeNamespaceRequest(namespace=name), timeout=TIMEOUT
        )
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
        mend = f"temporal operator namespace create -n {name} --retention 30d {reach}"
        return failure("Temporal", f"there is no namespace {name}", mend)
    kept = found.config.workflow_execution_retention_ttl.ToTimedelta()
    if kept < RETENTION:
        said = f"namespace {name} forgets what has ended after {kept / timedelta(hours=1):.0f} hours"
        mend = f"temporal operator namespace update -n {name} --retention 30d {reach}"
        return warning("Temporal", said, mend)
    return ok("Temporal", f"namespace {name}, which keeps what has ended for {kept.days} days")


async def _search_attributes(client: Client, reach: str) -> Finding:
    answer = await client.operator_service.list_search_attributes(
        ListSearchAttributesRequest(namespace=client.namespace), timeout=TIMEOUT
    )
    known = answer.custom_attributes
    missing = [key.name for key in SEARCH_ATTRIBUTES if key.name not in known]
    types = {key.name: int(key.indexed_value_type) for key in SEARCH_ATTRIBUTES}
    wrong = [name for name, wanted in types.items() if known.get(name, wanted) != wanted]
    if wrong:
        said = f"of another type than Everlink writes: {', '.join(wrong)}; workflows that write them get stuck"
        removed = " ".join(f"--name {name}" for name in wrong)
        mend = f"temporal operator search-attribute remove {removed} --yes {reach} && python manage.py init"
        return failure("search attributes", said, mend)
    if missing:
        said = f"not registered: {', '.join(missing)}; workflows that write them get stuck"
        return failure("search attributes", said, "python manage.py init")
    return ok("search attributes", f"all {len(types)} registered, each with its type")


async def _worker(client: Client) -> Finding:
    seen: list[datetime] = []
    workers: set[str] = set()
    for kind in (TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW, TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY):
        answer = await client.workflow_service.describe_task_queue(
            DescribeTaskQueueRequest(
                namespace=client.namespace, task_queue=TaskQueue(name=TASK_QUEUE), task_queue_type=kind
            ),
            timeout=TIMEOUT,
        )
        polls = {poller.identity: poller.last_access_time.ToDatetime(UTC) for poller in answer.pollers}
        alive = {identity for identity, at in polls.items() if utc_now() - at < ALIVE_FOR}
        workers |= alive
        seen += polls.values()
        if not alive:
            last = f"; the last one did at {max(seen):%Y-%m-%d %H:%M:%S} UTC" if seen else ""
            said = f"nobody polls the task queue {TASK_QUEUE}{last}: nothing is refreshed"
            return failure("workers", said, "python worker.py")
    return ok("workers", f"polling the task queue {TASK_QUEUE}: {len(workers)}")


async def _upkeep(client: Client, reach: str) -> Finding:
    """What has lost its workflow is started again by a schedule, which the worker makes when it starts."""
    try:
        found = await client.get_schedule_handle(UPKEEP_SCHEDULE).describe(rpc_timeout=TIMEOUT)
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
        return failure("upkeep", f"there is no schedule {UPKEEP_SCHEDULE}", "start a worker anew: python worker.py")
    if found.schedule.state.paused:
        mend = f"temporal schedule toggle --schedule-id {UPKEEP_SCHEDULE} --unpause --reason doctor {reach}"
        return failure("upkeep", f"the schedule {UPKEEP_SCHEDULE} is paused", mend)
    rounds = [
        action.action
        for action in reversed(found.info.recent_actions)
        if isinstance(action.action, ScheduleActionExecutionStartWorkflow)
    ]
    for last in rounds:
        status = await _status(client, last)
        if status is WorkflowExecutionStatus.RUNNING:
            continue  # how the round before it ended is what is known
        if status is WorkflowExecutionStatus.COMPLETED:
            return ok("upkeep", "each minute; the last round that ended, completed")
        said = f"the last round, {last.workflow_id}, {_ended(status)}"
        return failure("upkeep", said, f"temporal schedule trigger --schedule-id {UPKEEP_SCHEDULE} {reach}")
    return ok("upkeep", "each minute; no round has ended yet")


def _ended(status: WorkflowExecutionStatus | None) -> str:
    return f"ended as {status.name.lower()}" if status else "is lost"


async def _status(client: Client, run: ScheduleActionExecutionStartWorkflow) -> WorkflowExecutionStatus | None:
    try:
        return (await client.get_workflow_handle(run.workflow_id).describe(rpc_timeout=TIMEOUT)).status
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
        return None


async def _nexus(client: Client, reach: str) -> Finding:
    answer = await client.operator_service.list_nexus_endpoints(
        ListNexusEndpointsRequest(name=NEXUS_ENDPOINT), timeout=TIMEOUT
    )
    if not answer.endpoints:
        said = f"there is no endpoint {NEXUS_ENDPOINT}: who waits for a connection asks the API"
        return note("Nexus", said, "python manage.py create-nexus-endpoint")
    target = answer.endpoints[0].spec.target.worker
    if (target.namespace, target.task_queue) != (client.namespace, NEXUS_TASK_QUEUE):
        said = f"endpoint {NEXUS_ENDPOINT} leads to task queue {target.task_queue} of namespace {target.namespace}"
        there = f"--target-namespace {client.namespace} --target-task-queue {NEXUS_TASK_QUEUE}"
        mend = f"temporal operator nexus endpoint update --name {NEXUS_ENDPOINT} {there} {reach}"
        return failure("Nexus", said, mend)
    return ok("Nexus", f"endpoint {NEXUS_ENDPOINT}")


async def _web_ui_clock(url: str) -> datetime | None:
    """The `Date` of an answer. None where it is not reached from here, as a browser may well do."""
    try:
        async with httpx.AsyncClient(timeout=5, trust_env=False) as http:
            return parsedate_to_datetime((await http.get(url)).headers["date"])
    except (httpx.HTTPError, httpx.InvalidURL, KeyError, ValueError):
        return None
