"""How the API speaks to a connection's workflow.

Every message can start the workflow, from the state that the store has (`store/starting.py`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from temporalio.client import RPCTimeoutOrCancelledError, WithStartWorkflowOperation, WorkflowUpdateFailedError
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.exceptions import ApplicationError, WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from api.errors import ApiError, unavailable
from api.services import Services
from everlink.contract import (
    ConnectCommand,
    ConnectionView,
    CredentialRejected,
    DisconnectCommand,
    ProviderEvent,
    ProviderEventKind,
    RefreshCommand,
    Signal,
    Update,
    Workflow,
    connect_update_id,
)
from store.connections import connection_ref
from store.scope import Scope
from store.starting import start_options
from store.tables import Connection
from store.vault import KeyInvalid

TIMEOUT = timedelta(seconds=30)

log = logging.getLogger("everlink.api")


async def connect(made: Services, row: Connection, command: ConnectCommand) -> ConnectionView:
    """Tell the workflow of a new grant that the vault has already. Idempotent by generation."""
    return await _update(made, row, Update.CONNECT, command, connect_update_id(command.generation))


async def refresh(made: Services, row: Connection, newer_than: int) -> ConnectionView:
    """Refresh now. The workflow takes few updates at a time: this process sends one for all who wait."""
    task = made.refreshing.get(row.id)
    if task is None:
        command = RefreshCommand(newer_than=newer_than)
        task = asyncio.create_task(_update(made, row, Update.REFRESH, command, uuid4().hex))
        made.refreshing[row.id] = task
        task.add_done_callback(lambda _: made.refreshing.pop(row.id, None))
    return await asyncio.shield(task)


async def disconnect(made: Services, row: Connection, *, uninstall: bool) -> ConnectionView:
    """End the connection; answers when the end is recorded."""
    return await _update(made, row, Update.DISCONNECT, DisconnectCommand(uninstall=uninstall), uuid4().hex)


async def report_rejected(made: Services, row: Connection, generation: int | None) -> None:
    """A product saw the provider refuse the credential of this generation."""
    message = CredentialRejected(request_id=uuid4().hex, generation=generation)
    await _signal(made, row, Signal.CREDENTIAL_REJECTED, message)


async def report_event(made: Services, row: Connection, kind: ProviderEventKind, occurred_at: datetime) -> None:
    """A product passes on what the provider has told it of the grant."""
    message = ProviderEvent(request_id=uuid4().hex, kind=kind, occurred_at=occurred_at)
    await _signal(made, row, Signal.PROVIDER_EVENT, message)


async def _signal(made: Services, row: Connection, signal: Signal, message: CredentialRejected | ProviderEvent) -> None:
    async with _translated():
        await made.temporal.start_workflow(
            Workflow.CONNECTION,
            start_signal=signal,
            start_signal_args=[message],
            rpc_timeout=TIMEOUT,
            **await _start(made, row),
        )


async def _update(
    made: Services,
    row: Connection,
    update: Update,
    command: ConnectCommand | RefreshCommand | DisconnectCommand,
    update_id: str,
) -> ConnectionView:
    operation: WithStartWorkflowOperation[Any, Any] = WithStartWorkflowOperation(
        Workflow.CONNECTION, **await _start(made, row)
    )
    try:
        async with _translated():
            view: ConnectionView = await made.temporal.execute_update_with_start_workflow(
                update, command, start_workflow_operation=operation, id=update_id, result_type=ConnectionView
            )
            return view
    finally:
        made.recent.forget((Scope.of(connection_ref(row)), row.id))


async def _start(made: Services, row: Connection) -> dict[str, Any]:
    """How the workflow is started where none runs."""
    scope, now = Scope.of(connection_ref(row)), made.clock()
    stored, entry = await made.credentials.read(scope, row.id), await made.entry(scope, row.slug)
    lifetimes = None
    if entry is not None and stored is not None:
        lifetimes = entry.lifetimes(**stored.left(now))
    reminders = await made.reminders.plan(row)
    options = start_options(row, stored, lifetimes, reminders, now, made.settings.public_url)
    return {**options, "id_conflict_policy": WorkflowIDConflictPolicy.USE_EXISTING}


@asynccontextmanager
async def _translated() -> AsyncIterator[None]:
    """What can go wrong on the way to a workflow, as the API's errors."""
    try:
        async with asyncio.timeout(TIMEOUT.total_seconds()):
            yield
    except (TimeoutError, RPCTimeoutOrCancelledError):  # the SDK gives a cancelled call its own error
        raise unavailable("still_working", "the work goes on, but took longer than this request may") from None
    except KeyInvalid as error:
        log.error("%s", error)  # it names the key
        raise unavailable("codec_key_invalid", "the workflow's answer is sealed by a key that is not here") from None
    except WorkflowAlreadyStartedError:
        raise ApiError(409, "connection_disconnected", "the connection has ended") from None
    except WorkflowUpdateFailedError as error:
        if isinstance(error.cause, ApplicationError) and error.cause.type == "Disconnected":
            raise ApiError(409, "connection_disconnected", "the connection has ended") from None
        raise unavailable("still_working", "the connection's workflow could not do it now") from None
    except RPCError as error:
        if error.status is RPCStatusCode.ALREADY_EXISTS:
            raise ApiError(409, "connection_disconnected", "the connection has ended") from None
        raise unavailable("temporal_unavailable", "Temporal cannot be reached or is busy") from None
    except RuntimeError:  # how the SDK says that its first connection failed
        raise unavailable("temporal_unavailable", "Temporal cannot be reached or is busy") from None
