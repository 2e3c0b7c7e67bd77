"""What can be done to a connection: establish, refresh, read the token, report, disconnect."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from uuid import uuid4

from temporalio.client import RPCTimeoutOrCancelledError, WithStartWorkflowOperation, WorkflowUpdateFailedError
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from api.errors import ApiError, not_found, unavailable
from api.services import Services
from everlink.contract import (
    TASK_QUEUE,
    ConnectCommand,
    ConnectionState,
    ConnectionStatus,
    ConnectionView,
    CredentialRejected,
    DisconnectCommand,
    Lifetimes,
    RefreshCommand,
    Signal,
    Update,
    Workflow,
    connection_workflow_id,
    search_attributes,
    static_details,
    static_summary,
)
from providers.catalog import CatalogEntry
from providers.credential import Credential, KeyCredential, OAuthCredential, to_bytes
from store.connections import connection_ref
from store.credentials import StoredCredential
from store.scope import Scope
from store.tables import Connection
from store.vault import Kind

TEMPORAL_TIMEOUT = timedelta(seconds=30)
UNIDENTIFIED = "default"  # the account's identifier where the application cannot tell


@dataclass(frozen=True)
class Grant:
    """What a customer has just given: a credential and whose account it opens."""

    credential: Credential
    renewable: bool
    expires_in: float | None
    identifier: str
    display_name: str | None


@dataclass(frozen=True)
class Target:
    """For whom a grant is kept; a reconnect names its connection."""

    scope: Scope
    linked_account_id: str
    connection_id: str | None = None


@dataclass(frozen=True)
class FreshToken:
    """A credential in the clear, for the product that asked."""

    connection_id: str
    credential: Credential
    stored: StoredCredential


async def establish(made: Services, target: Target, entry: CatalogEntry, grant: Grant) -> ConnectionView:
    """Keep a grant: the vault first, then the workflow, which is started where there is none.

    Raises:
        ApiError: 409 `different_account` where a reconnect opens another account than before, or
            `connection_disconnected` where the connection ended meanwhile; 503 where Temporal does not answer.
    """
    row, scope = await _connection_for(made, target, entry, grant), target.scope
    now = made.clock()
    sealed = await made.vault.seal(scope, Kind.CREDENTIAL, row.id, to_bytes(grant.credential))
    expires_at = None if grant.expires_in is None else now + timedelta(seconds=grant.expires_in)
    generation = await made.credentials.grant(
        scope, row.id, sealed, renewable=grant.renewable, expires_at=expires_at, now=now
    )
    lifetimes = entry.lifetimes(renewable=grant.renewable, expires_in=grant.expires_in)
    return await _connect(made, row, generation, lifetimes)


async def _connection_for(made: Services, target: Target, entry: CatalogEntry, grant: Grant) -> Connection:
    if target.connection_id is not None:
        row = await find(made, target.scope, target.connection_id)
        if row.status == ConnectionStatus.DISCONNECTED:
            raise ApiError(409, "connection_disconnected", "the connection has ended")
        if row.identifier != grant.identifier:
            raise ApiError(409, "different_account", "this is another account than the one that was connected")
        return row
    return await made.connections.find_or_create(
        target.scope,
        linked_account_id=target.linked_account_id,
        slug=entry.slug,
        identifier=grant.identifier,
        display_name=grant.display_name,
        auth_type=entry.auth_type,
        now=made.clock(),
    )


async def _connect(made: Services, row: Connection, generation: int, lifetimes: Lifetimes) -> ConnectionView:
    ref = connection_ref(row)
    start: WithStartWorkflowOperation[object, object] = WithStartWorkflowOperation(
        Workflow.CONNECTION,
        ConnectionState(ref=ref),
        id=connection_workflow_id(row.id),
        task_queue=TASK_QUEUE,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        search_attributes=search_attributes(ref),
        static_summary=static_summary(ref),
        static_details=static_details(ref),
    )
    async with _temporal():
        view: ConnectionView = await made.temporal.execute_update_with_start_workflow(
            Update.CONNECT,
            ConnectCommand(generation=generation, lifetimes=lifetimes),
            start_workflow_operation=start,
            id=f"connect-{generation}",
            result_type=ConnectionView,
            rpc_timeout=TEMPORAL_TIMEOUT,
        )
        return view


async def find(made: Services, scope: Scope, connection_id: str) -> Connection:
    """A connection of this tenant; 404 for any other id."""
    row = await made.connections.get(scope, connection_id)
    if row is None:
        raise not_found("connection")
    return row


async def refresh(made: Services, connection_id: str, newer_than: int) -> ConnectionView:
    """Refresh now, through the workflow, which takes few updates at a time: this process sends one for all."""
    task = made.refreshing.get(connection_id)
    if task is None:
        command = RefreshCommand(newer_than=newer_than)
        task = asyncio.create_task(_update(made, connection_id, Update.REFRESH, command))
        made.refreshing[connection_id] = task
        task.add_done_callback(lambda _: made.refreshing.pop(connection_id, None))
    return await asyncio.shield(task)


async def force_refresh(made: Services, scope: Scope, connection_id: str) -> ConnectionView:
    """Refresh the credential that is there now."""
    read = await made.connections.with_credential(scope, connection_id)
    if read is None:
        raise not_found("connection")
    if read.status is not ConnectionStatus.REAUTH_REQUIRED:  # there a try may show that it was mended
        _require_living(read.status, read.reason)
    if read.stored is None:
        raise ApiError(409, "connection_disconnected", "there is no credential to refresh")
    return await refresh(made, connection_id, read.stored.generation)


async def disconnect(made: Services, scope: Scope, row: Connection) -> ConnectionView | None:
    """End a connection. None where it never lived: there is only a credential to forget."""
    if row.status == ConnectionStatus.PENDING:
        await made.credentials.purge(scope, row.id)
        return None
    return await _update(made, row.id, Update.DISCONNECT, DisconnectCommand())


async def report_rejected(made: Services, row: Connection, generation: int | None) -> None:
    """A product saw the provider refuse the credential: the workflow verifies before it believes it."""
    _require_living(row.status, row.reason)
    handle = made.temporal.get_workflow_handle(connection_workflow_id(row.id))
    message = CredentialRejected(request_id=uuid4().hex, generation=generation)
    async with _temporal():
        await handle.signal(Signal.CREDENTIAL_REJECTED, message, rpc_timeout=TEMPORAL_TIMEOUT)


async def fresh_token(made: Services, scope: Scope, connection_id: str, min_ttl: float) -> FreshToken:
    """A token that lives at least `min_ttl` seconds more, refreshed through the workflow only where it must be.

    Where it cannot be refreshed now, the one that is there is answered for as long as it lives.

    Raises:
        ApiError: 404; 409 with the reason where only the customer can help; 503 where the provider does not answer.
    """
    slug, stored = await _readable(made, scope, connection_id)
    if stored.renewable and not _lives(made, stored, min_ttl):
        try:
            await refresh(made, connection_id, newer_than=stored.generation)
        except ApiError as error:
            if error.status != 503 or not _lives(made, stored, 0):
                raise
        slug, stored = await _readable(made, scope, connection_id)
        if not _lives(made, stored, 0):
            raise unavailable("refresh_failed", "the provider did not give a fresh token; it will be tried again")
    secret = await made.vault.open(scope, Kind.CREDENTIAL, connection_id, stored.sealed)
    entry = made.catalog.get(slug)
    model = OAuthCredential if entry is not None and entry.oauth2 is not None else KeyCredential
    return FreshToken(connection_id, model.model_validate_json(secret), stored)


def _lives(made: Services, stored: StoredCredential, seconds: float) -> bool:
    """Whether a credential lives that much longer."""
    return stored.expires_at is None or stored.expires_at > made.clock() + timedelta(seconds=seconds)


async def _readable(made: Services, scope: Scope, connection_id: str) -> tuple[str, StoredCredential]:
    read = await made.connections.with_credential(scope, connection_id)
    if read is None:
        raise not_found("connection")
    _require_living(read.status, read.reason)
    if read.stored is None:
        raise ApiError(409, "connection_disconnected", "the connection has ended")
    return read.slug, read.stored


def _require_living(status: str, reason: str | None) -> None:
    match status:
        case ConnectionStatus.REAUTH_REQUIRED:
            raise ApiError(409, "reauth_required", "the customer has to reconnect", reason=reason)
        case ConnectionStatus.DISCONNECTED:
            raise ApiError(409, "connection_disconnected", "the connection has ended")
        case ConnectionStatus.PENDING:
            raise ApiError(409, "connection_pending", "the customer has not finished connecting")


async def _update(
    made: Services, connection_id: str, update: Update, command: RefreshCommand | DisconnectCommand
) -> ConnectionView:
    handle = made.temporal.get_workflow_handle(connection_workflow_id(connection_id))
    async with _temporal():
        view: ConnectionView = await handle.execute_update(update, command, result_type=ConnectionView)
        return view


@asynccontextmanager
async def _temporal() -> AsyncIterator[None]:
    """What can go wrong on the way to a workflow, as the API's errors."""
    try:
        async with asyncio.timeout(TEMPORAL_TIMEOUT.total_seconds()):
            yield
    except (TimeoutError, RPCTimeoutOrCancelledError):  # the SDK gives a cancelled call its own error
        raise unavailable("still_working", "the work goes on, but took longer than this request may") from None
    except WorkflowUpdateFailedError as error:
        if isinstance(error.cause, ApplicationError) and error.cause.type == "Disconnected":
            raise ApiError(409, "connection_disconnected", "the connection has ended") from None
        raise unavailable("still_working", "the connection's workflow could not do it now") from None
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            raise ApiError(409, "connection_disconnected", "the connection has ended") from None
        raise unavailable("temporal_unavailable", "Temporal cannot be reached or is busy") from None
    except RuntimeError:  # how the SDK says that its first connection failed
        raise unavailable("temporal_unavailable", "Temporal cannot be reached or is busy") from None
