"""How a connection's workflow is started from what the store has.

So a workflow that an operator terminated, or that a Temporal server lost, costs nobody a connection. One that
has ended of itself is never started again.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy

from everlink.contract import (
    TASK_QUEUE,
    ConnectionState,
    ConnectionStatus,
    Health,
    InboxState,
    InboxTask,
    Lifetimes,
    ReauthReason,
    RemovalState,
    ReplayState,
    Signal,
    connection_workflow_id,
    delivery_attributes,
    delivery_workflow_id,
    inbox_attributes,
    inbox_workflow_id,
    removal_attributes,
    removal_workflow_id,
    replay_attributes,
    replay_workflow_id,
    search_attributes,
    static_details,
    static_summary,
    verbatim,
)
from store.connections import connection_ref
from store.credentials import StoredCredential
from store.reminders import ReminderPlan
from store.removals import removal_task
from store.replays import replay_task
from store.strays import ScheduledDelivery
from store.tables import Connection, Removal, Replay


def start_options(
    row: Connection,
    stored: StoredCredential | None,
    lifetimes: Lifetimes | None,
    reminders: ReminderPlan | None,
    now: datetime,
    public_url: str,
) -> dict[str, Any]:
    """The arguments of the client's `start_workflow`; lifetimes are those of the stored credential."""
    ref = connection_ref(row)
    never_lived = row.status is ConnectionStatus.PENDING
    restored = None if never_lived or stored is None else _restored(row, stored, lifetimes, reminders, now)
    state = restored or ConnectionState(ref=ref)
    state.console_url = f"{public_url}/console/connections/{row.id}"
    return {
        "arg": state,
        "id": connection_workflow_id(row.id),
        "task_queue": TASK_QUEUE,
        "id_reuse_policy": WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY,
        "search_attributes": search_attributes(ref, None if never_lived else row.status, Health(row.health)),
        "static_summary": static_summary(ref),
        "static_details": static_details(ref),
    }


def delivery_start_options(delivery: ScheduledDelivery) -> dict[str, Any]:
    """The same of a delivery's workflow."""
    task, account = delivery.task, delivery.linked_account_id
    return {
        "arg": task,
        "id": delivery_workflow_id(task.event_id, task.endpoint_id, task.round),
        "task_queue": TASK_QUEUE,
        "id_reuse_policy": WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY,
        "search_attributes": delivery_attributes(task.org_id, task.environment, delivery.slug, account),
        "static_summary": " · ".join(filter(None, (delivery.event, account and verbatim(account), delivery.slug))),
    }


def removal_start_options(removal: Removal) -> dict[str, Any]:
    """The same of a removal's workflow; one that has ended of itself is never started again."""
    task = removal_task(removal)
    return {
        "arg": RemovalState(task=task, total=removal.total, done=removal.done),
        "id": removal_workflow_id(removal.id),
        "task_queue": TASK_QUEUE,
        "id_reuse_policy": WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY,
        "search_attributes": removal_attributes(task),
        "static_summary": f"remove {removal.kind.value.replace('_', ' ')} · {verbatim(removal.subject)}",
    }


def replay_start_options(replay: Replay) -> dict[str, Any]:
    """The same of the workflow of a replay of many events."""
    task = replay_task(replay)
    return {
        "arg": ReplayState(task=task),
        "id": replay_workflow_id(replay.id),
        "task_queue": TASK_QUEUE,
        "id_reuse_policy": WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY,
        "search_attributes": replay_attributes(task),
        "static_summary": f"replay to {replay.endpoint_id}",
    }


def inbox_start_options(task: InboxTask) -> dict[str, Any]:
    """The same of an inbox, with the signal that something came; it ends when nothing is left, and begins again."""
    return {
        "arg": InboxState(task=task),
        "id": inbox_workflow_id(task.org_id, task.environment, task.slug),
        "task_queue": TASK_QUEUE,
        "id_reuse_policy": WorkflowIDReusePolicy.ALLOW_DUPLICATE,
        "id_conflict_policy": WorkflowIDConflictPolicy.USE_EXISTING,
        "start_signal": Signal.EVENTS_CAME,
        "search_attributes": inbox_attributes(task),
        "static_summary": f"what the provider tells · {task.slug}",
    }


def _restored(
    row: Connection,
    stored: StoredCredential,
    lifetimes: Lifetimes | None,
    reminders: ReminderPlan | None,
    now: datetime,
) -> ConnectionState:
    """The state of a connection whose workflow is gone; what is due is asked at once."""
    living = row.status is ConnectionStatus.ACTIVE
    state = ConnectionState(
        ref=connection_ref(row),
        status=row.status,
        health=Health(row.health),
        reason=ReauthReason(row.reason) if row.reason else None,
        since=row.status_since,
        generation=stored.generation,
        granted_at=row.connected_at,
        expires_at=stored.expires_at,
        next_at=now if living else None,
        sequence=row.sequence,
    )
    if lifetimes is not None:
        state.lifetimes = lifetimes
    if reminders is not None:
        state.reminder_days, state.reminded = reminders.days, reminders.reminded
    return state
