"""The activity side of the plugin: credentials for activities, and none of them in what an activity leaves behind."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from temporalio import activity
from temporalio.exceptions import ApplicationError
from temporalio.worker import (
    ActivityInboundInterceptor,
    ActivityOutboundInterceptor,
    ExecuteActivityInput,
    Interceptor,
)

from everlink.client import Client
from everlink.contract import ConnectionStatus
from everlink.errors import EverlinkError, ReauthRequired
from everlink.plugin.credentials import Handout, in_activity
from everlink.plugin.failures import DeadConnection
from everlink.plugin.vending import Vending

TOKEN_IN_RESULT = "TokenInResult"
FINAL = frozenset({"connection_disconnected", "connection_not_found"})  # error codes that no retry changes
ASKING = 10.0  # seconds for whose connection it is: without that, the wait goes on as well


class ActivitySide(Interceptor):
    """What activities of a worker get.

    Args:
        client: by which credentials are fetched; the caller closes it.
        endpoint: the Nexus endpoint by which workflows wait; None: by asking the API.
        at_most: seconds that they wait; None: for ever; 0: not at all.
    """

    def __init__(self, client: Client, endpoint: str | None, at_most: float | None) -> None:
        self._client = client
        self._endpoint = endpoint
        self._at_most = at_most
        self.vending = Vending(client)

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        return _Inbound(next, self, Handout(self.vending))

    async def dead_connection(self, dead: ReauthRequired, connection_id: str) -> DeadConnection:
        """What the workflow is told of it."""
        found = None
        with suppress(EverlinkError, TimeoutError):
            async with asyncio.timeout(ASKING):
                found = await self._client.connections.get(connection_id)
        is_dead = found is not None and found.status is ConnectionStatus.REAUTH_REQUIRED
        return DeadConnection(
            connection_id=connection_id,
            application=found.slug if found else "",
            linked_account_id=found.linked_account_id if found else "",
            reason=found.reason if found else dead.reason,
            since=found.status_since if found and is_dead else None,
            generation=dead.generation,
            endpoint=self._endpoint,
            at_most=self._at_most,
        )


class _Inbound(ActivityInboundInterceptor):
    """One for each activity that runs."""

    def __init__(self, next: ActivityInboundInterceptor, side: ActivitySide, handout: Handout) -> None:
        super().__init__(next)
        self._side = side
        self._handout = handout

    def init(self, outbound: ActivityOutboundInterceptor) -> None:
        super().init(_Outbound(outbound, self._handout))

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        is_async = input.executor is None  # the client lives on the worker's event loop, and so do its credentials
        before = in_activity.set(self._handout if is_async else None)
        try:
            result = await self.next.execute_activity(input)
        except Exception as error:
            failure = await self._failure_of(error)
            if failure is None:
                raise
        else:
            if not self._handout.secrets.are_in_values((result,), activity.payload_converter()):
                return result
            failure = _token_in("a result")
        finally:
            in_activity.reset(before)
        raise failure  # here, where the error that it replaces is not its context

    async def _failure_of(self, error: Exception) -> ApplicationError | None:
        """What the workflow is told instead of an error; None where it may see the error itself."""
        dead = _dead_in(error)
        if dead is not None and dead.connection_id is not None:
            return (await self._side.dead_connection(dead, dead.connection_id)).failure()
        if isinstance(error, EverlinkError) and error.error_code in FINAL:
            return ApplicationError(str(error), type=error.error_code, non_retryable=True)
        if self._handout.secrets.are_in_error(error, activity.payload_converter()):
            return _without_words(error)
        return None


class _Outbound(ActivityOutboundInterceptor):
    def __init__(self, next: ActivityOutboundInterceptor, handout: Handout) -> None:
        super().__init__(next)
        self._handout = handout

    def heartbeat(self, *details: Any) -> None:
        if self._handout.secrets.are_in_values(details, activity.payload_converter()):
            raise _token_in("a heartbeat")
        super().heartbeat(*details)


def _dead_in(error: BaseException) -> ReauthRequired | None:
    """The error itself, or one of those that ended a task group."""
    if isinstance(error, BaseExceptionGroup):
        return next((found for one in error.exceptions if (found := _dead_in(one)) is not None), None)
    return error if isinstance(error, ReauthRequired) else None


def _token_in(what: str) -> ApplicationError:
    words = f"{what} of this activity holds a credential, which has no place in a workflow's history"
    return ApplicationError(words, type=TOKEN_IN_RESULT, non_retryable=True)


def _without_words(error: Exception) -> ApplicationError:
    """An error that is retried as the one that it stands for, and says nothing but its type."""
    words = "the activity failed with an error that holds a credential, and is not shown for that"
    if not isinstance(error, ApplicationError):
        return ApplicationError(words, type=type(error).__name__)
    return ApplicationError(
        words,
        type=error.type,
        non_retryable=error.non_retryable,
        next_retry_delay=error.next_retry_delay,
        category=error.category,
    )
