"""Who waits for a connection, and is told when it is active."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from temporalio import workflow
from temporalio.exceptions import FailureError

with workflow.unsafe.imports_passed_through():
    from everlink.contract import ConnectionStanding, ConnectionStatus, Signal, Waiter
    from workflows.life import Life

MOST = 10_000  # some 1.4 MB of the 2 MB that continue-as-new can carry
TOLD_AT_ONCE = 100  # Temporal lets a workflow have 2,000 signals on their way


class Waiters:
    """The waiting workflows of one connection. They stand in its state, so that continue-as-new carries them."""

    def __init__(self, life: Life) -> None:
        self._life = life
        self._state = life.state

    def add(self, waiter: Waiter) -> None:
        """One more, once; those whose time is over are forgotten.

        Of more than fit, the last are not taken: a connection that could not go on would help nobody. They register
        anew within a day, or end with their own time and are asked anew.
        """
        now = workflow.now()
        alive = [one for one in self._state.waiters if one.until is None or one.until > now]
        others = [one for one in alive if one.workflow_id != waiter.workflow_id]
        if len(others) < MOST or not workflow.patched("most-waiters"):
            self._state.waiters = [*others, waiter]
        self._life.show()

    def remove(self, waiter: Waiter) -> None:
        self._state.waiters = [one for one in self._state.waiters if one.workflow_id != waiter.workflow_id]
        self._life.show()

    @property
    def are_there(self) -> bool:
        return bool(self._state.waiters)

    @property
    def are_being_told(self) -> bool:
        """Whether there is somebody who can be told now."""
        return self.are_there and self._is_settled()

    async def answer(self) -> None:
        """Tell them whenever the connection is as they want it, until cancelled."""
        while True:
            await workflow.wait_condition(lambda: self.are_being_told)
            told = self._state.waiters[:TOLD_AT_ONCE]
            await asyncio.gather(*(self._tell(one) for one in told))
            ids = {one.workflow_id for one in told}
            self._state.waiters = [one for one in self._state.waiters if one.workflow_id not in ids]
            self._life.show()

    async def _tell(self, waiter: Waiter) -> None:
        with suppress(FailureError):  # it has ended meanwhile
            await workflow.get_external_workflow_handle(waiter.workflow_id).signal(Signal.SETTLED, self._standing())

    def _is_settled(self) -> bool:
        """Active beyond doubt, or ended; and the store knows, so that whoever is told finds a token there."""
        state = self._state
        is_active = state.status is ConnectionStatus.ACTIVE and not state.suspect
        return (is_active or self._life.is_over) and not state.unrecorded

    def _standing(self) -> ConnectionStanding:
        state = self._state
        return ConnectionStanding(
            connection_id=state.ref.connection_id,
            application=state.ref.slug,
            status=state.status,
            health=state.health,
            reason=state.reason,
            generation=state.generation,
            since=state.since,
        )
