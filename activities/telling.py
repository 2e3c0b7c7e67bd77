"""Tells a connection's workflow something; where none runs, it is started from the store."""

from __future__ import annotations

from typing import Any

from temporalio.common import WorkflowIDConflictPolicy
from temporalio.exceptions import WorkflowAlreadyStartedError

from activities.shared import Shared
from activities.starting import START_TIMEOUT
from everlink.contract import Message, Signal, Workflow
from store.scope import Scope
from store.starting import start_options
from store.tables import Connection


async def tell(shared: Shared, row: Connection, signal: Signal, message: Message) -> bool:
    """By signal. False: the connection has ended."""
    assert shared.temporal is not None
    try:
        await shared.temporal.start_workflow(
            Workflow.CONNECTION,
            start_signal=signal,
            start_signal_args=[message],
            rpc_timeout=START_TIMEOUT,
            **await connection_options(shared, row),
        )
    except WorkflowAlreadyStartedError:
        return False
    return True


async def connection_options(shared: Shared, row: Connection) -> dict[str, Any]:
    """How the workflow is started where none runs."""
    scope, now = Scope(row.org_id, row.environment), shared.clock()
    stored = await shared.credentials.read(scope, row.id)
    entry = await shared.find_entry(scope, row.slug)
    lifetimes = entry.lifetimes(**stored.left(now)) if entry is not None and stored is not None else None
    options = start_options(row, stored, lifetimes, await shared.reminders.plan(row), now, shared.public_url)
    return {**options, "id_conflict_policy": WorkflowIDConflictPolicy.USE_EXISTING}
