"""Waiting without Nexus: the activity that looks, again and again, whether a connection is active."""

from __future__ import annotations

from datetime import timedelta

from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from everlink.client import Client
from everlink.contract import ConnectionStatus
from everlink.errors import NotFound

AWAIT_ACTIVE = "everlink.await_active"
STILL_WAITING = "StillWaiting"


class Checking:
    """One short look for each attempt: between them the server keeps the timer, and no activity slot is held."""

    def __init__(self, client: Client, poll: timedelta) -> None:
        self._client = client
        self._poll = poll

    @activity.defn(name=AWAIT_ACTIVE)
    async def await_active(self, connection_id: str) -> str:
        """Answers once the connection is active, or disconnected and so never active again.

        Raises:
            ApplicationError: it is neither now; look again.
        """
        try:
            connection = await self._client.connections.get(connection_id)
        except NotFound:
            return ConnectionStatus.DISCONNECTED
        if connection.status in (ConnectionStatus.ACTIVE, ConnectionStatus.DISCONNECTED):
            return connection.status
        raise ApplicationError(
            f"{connection.linked_account_id} has not reconnected {connection.slug} yet",
            type=STILL_WAITING,
            category=ApplicationErrorCategory.BENIGN,
            next_retry_delay=self._pause(),
        )

    def _pause(self) -> timedelta:
        """Until the next look; tests have one of their own."""
        return self._poll
