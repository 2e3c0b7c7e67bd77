"""The service `Everlink` of Nexus: what workflows of other namespaces and languages ask."""

from __future__ import annotations

import re
from datetime import timedelta

import nexusrpc
from nexusrpc import HandlerError, HandlerErrorType
from temporalio import nexus
from temporalio.worker import ExecuteNexusOperationCancelInput, Interceptor, NexusOperationInboundInterceptor

from activities.shared import Shared
from activities.telling import tell
from everlink.contract import (
    NEXUS_ENDPOINT,
    NEXUS_TASK_QUEUE,
    ConnectionAsked,
    ConnectionStanding,
    ConnectionStatus,
    CredentialRejected,
    EverlinkService,
    ReconnectOffer,
    RejectionReport,
    Signal,
    Workflow,
    nexus_endpoint,
    waiting_workflow_id,
)
from store.connect_sessions import ConnectSessions, Wishes
from store.scope import Scope
from store.tables import Connection

TIMEOUT_HEADER = "operation-timeout"  # of the Nexus protocol: how long the caller waits for the operation to end
UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
LINGER = timedelta(minutes=5)  # of a wait behind its caller's timeout: clocks differ


@nexusrpc.handler.service_handler(service=EverlinkService)
class EverlinkServiceHandler:
    """Runs in the worker. Whoever may use the endpoint may ask; an answer holds no token."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._sessions = ConnectSessions(shared.database)

    @nexus.workflow_run_operation
    async def await_active(
        self, ctx: nexus.WorkflowRunOperationContext, asked: ConnectionAsked
    ) -> nexus.WorkflowHandle[ConnectionStanding]:
        row = await _reached(self._shared, asked.connection_id)
        _refuse_if_ended(row)
        lives = _timeout(ctx.headers.get(TIMEOUT_HEADER))
        return await ctx.start_workflow(
            Workflow.WAITING,
            ConnectionAsked(connection_id=row.id),
            id=waiting_workflow_id(row.id, ctx.request_id),
            task_queue=NEXUS_TASK_QUEUE,
            execution_timeout=None if lives is None else lives + LINGER,
            static_summary=f"until {row.slug} is active",
            result_type=ConnectionStanding,
        )

    @nexusrpc.handler.sync_operation
    async def get_status(
        self, ctx: nexusrpc.handler.StartOperationContext, asked: ConnectionAsked
    ) -> ConnectionStanding:
        row = await _reached(self._shared, asked.connection_id)
        stored = await self._shared.credentials.read(_scope(row), row.id)
        return ConnectionStanding(
            connection_id=row.id,
            application=row.slug,
            status=row.status,
            health=row.health,
            reason=row.reason,
            generation=stored.generation if stored is not None else None,
            since=row.status_since,
        )

    @nexusrpc.handler.sync_operation
    async def report_rejected(self, ctx: nexusrpc.handler.StartOperationContext, report: RejectionReport) -> None:
        row = await _reached(self._shared, report.connection_id)
        _refuse_if_ended(row)
        if row.status is not ConnectionStatus.ACTIVE:
            return  # its customer is asked already
        message = CredentialRejected(request_id=ctx.request_id, generation=report.generation)
        if not await tell(self._shared, row, Signal.CREDENTIAL_REJECTED, message):
            raise _ended()

    @nexusrpc.handler.sync_operation
    async def start_reconnect(
        self, ctx: nexusrpc.handler.StartOperationContext, asked: ConnectionAsked
    ) -> ReconnectOffer:
        row = await _reached(self._shared, asked.connection_id)
        _refuse_if_ended(row)
        wishes = Wishes(applications=(row.slug,))
        link = await self._sessions.issue(_scope(row), row.linked_account_id, wishes, self._shared.clock())
        url = f"{self._shared.public_url}/connect/{link.secret}"
        return ReconnectOffer(connect_url=url, expires_at=link.expires_at)


class CancelsWaitsOnly(Interceptor):
    """For the service's worker: what is cancelled is what the caller's token names, which a caller can make up."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared

    def intercept_nexus_operation(self, next: NexusOperationInboundInterceptor) -> NexusOperationInboundInterceptor:
        return _CancelsWaitsOnly(self._shared, next)


class _CancelsWaitsOnly(NexusOperationInboundInterceptor):
    def __init__(self, shared: Shared, next: NexusOperationInboundInterceptor) -> None:
        super().__init__(next)
        self._shared = shared

    async def execute_nexus_operation_cancel(self, input: ExecuteNexusOperationCancelInput) -> None:
        await _reached(self._shared, _waited_for(input.token))
        await super().execute_nexus_operation_cancel(input)


async def _reached(shared: Shared, connection_id: str) -> Connection:
    """A connection that the endpoint reaches; any other is not there."""
    row = await shared.connections.of_id(connection_id)
    endpoint = nexus.info().endpoint
    if row is None or endpoint not in (NEXUS_ENDPOINT, nexus_endpoint(row.org_id, row.environment)):
        raise HandlerError("there is no such connection", type=HandlerErrorType.NOT_FOUND)
    return row


def _waited_for(token: str) -> str:
    """The connection that an operation waits for. Raises HandlerError for what is no wait."""
    try:
        workflow_id = nexus.WorkflowHandle[ConnectionStanding].from_token(token).workflow_id
    except TypeError:
        workflow_id = ""
    found = re.fullmatch(waiting_workflow_id("([^/]+)", ".+"), workflow_id)
    if found is None:
        raise HandlerError("there is no such operation", type=HandlerErrorType.NOT_FOUND)
    return found[1]


def _scope(row: Connection) -> Scope:
    return Scope(row.org_id, row.environment)


def _refuse_if_ended(row: Connection) -> None:
    if row.status is ConnectionStatus.DISCONNECTED:
        raise _ended()


def _ended() -> HandlerError:
    return HandlerError("the connection has ended", type=HandlerErrorType.BAD_REQUEST)


def _timeout(header: str | None) -> timedelta | None:
    """A duration as the protocol writes it: a number and its unit."""
    found = re.fullmatch(r"([0-9.]+)(ms|s|m|h)", header or "")
    return None if found is None else timedelta(seconds=float(found[1]) * UNITS[found[2]])
