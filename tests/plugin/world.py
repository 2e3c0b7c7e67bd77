"""What tests do to a user's worker: its activities, its workers, looks at its workflows."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from temporalio import activity
from temporalio.api.enums.v1 import EventType
from temporalio.api.sdk.v1 import WorkflowMetadata
from temporalio.client import Client, WorkflowHandle
from temporalio.worker import Worker

from everlink import EverlinkPlugin
from everlink.contract import ConnectionStatus, ReauthReason
from everlink.plugin.failures import DeadConnection
from tests.plugin import users
from tests.plugin.api import Api

WORKFLOWS = [thing for thing in vars(users).values() if hasattr(thing, "__temporal_workflow_definition")]
POLL = timedelta(milliseconds=200)
SINCE = datetime(2026, 11, 30, 7, tzinfo=UTC)


def dead(connection_id: str, *, endpoint: str | None = None, at_most: float | None = None) -> DeadConnection:
    return DeadConnection(
        connection_id=connection_id,
        application="slack",
        linked_account_id="acme",
        reason=ReauthReason.ACCESS_REVOKED,
        since=SINCE,
        generation=3,
        endpoint=endpoint,
        at_most=at_most,
    )


class Syncing:
    """The user's activity: it works while the connection is active."""

    def __init__(self, api: Api, *, endpoint: str | None = None, at_most: float | None = None) -> None:
        self.api = api
        self.runs: Counter[str] = Counter()
        self._endpoint, self._at_most = endpoint, at_most

    @activity.defn
    async def sync(self, connection_id: str) -> str:
        self.runs[connection_id] += 1
        if self.api.statuses.get(connection_id) is not ConnectionStatus.ACTIVE:
            raise dead(connection_id, endpoint=self._endpoint, at_most=self._at_most).failure()
        return f"synced {connection_id}"


class Refused(Syncing):
    """Fails so many times, whatever Everlink says of the connection."""

    def __init__(self, api: Api, times: int) -> None:
        super().__init__(api)
        self._times = times

    @activity.defn
    async def sync(self, connection_id: str) -> str:
        self.runs[connection_id] += 1
        if self.runs[connection_id] <= self._times:
            raise dead(connection_id).failure()
        return f"synced {connection_id}"


def new_id() -> str:
    return f"con_{uuid4().hex}"


async def start(client: Client, workflow: Any, *args: Any, queue: str) -> WorkflowHandle[Any, Any]:
    return await client.start_workflow(workflow, args=args, id=f"user-{uuid4().hex}", task_queue=queue)


async def until(condition: Callable[[], Awaitable[Any]], seconds: float = 40.0) -> Any:
    """The first true answer."""
    async with asyncio.timeout(seconds):
        while not (answer := await condition()):
            await asyncio.sleep(0.05)
        return answer


async def details(handle: WorkflowHandle[Any, Any]) -> str:
    metadata = await handle.query("__temporal_workflow_metadata", result_type=WorkflowMetadata)
    return metadata.current_details


async def events(handle: WorkflowHandle[Any, Any], kind: EventType.ValueType) -> int:
    """How many of this kind the history has."""
    return sum([event.event_type == kind async for event in handle.fetch_history_events()])


@asynccontextmanager
async def working(client: Client, syncing: Syncing, **options: Any) -> AsyncIterator[str]:
    """A user's worker in the default sandbox. Answers its task queue."""
    queue = f"user-{uuid4().hex}"
    plugin = EverlinkPlugin(syncing.api.url, "tk_user", poll=POLL)
    async with Worker(
        client, task_queue=queue, workflows=WORKFLOWS, activities=[syncing.sync], plugins=[plugin], **options
    ):
        yield queue
