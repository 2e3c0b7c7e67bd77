"""A user's workflow and activity: nothing in them is made for tests."""

from __future__ import annotations

from datetime import timedelta

from temporalio import activity, workflow

import everlink

PROVIDER = "https://provider.example"


@workflow.defn
class Sync:
    """Reads from the provider; then again, a day later."""

    @workflow.run
    async def run(self, connection_id: str, days: float | None) -> list[str]:
        wait = everlink.Wait.FOREVER if days is None else everlink.Wait.at_most(timedelta(days=days))
        with everlink.waiting(wait):
            first = await self._read(connection_id)
            await workflow.sleep(timedelta(days=1))
            return [first, await self._read(connection_id)]

    async def _read(self, connection_id: str) -> str:
        return await workflow.execute_activity(
            "read", connection_id, result_type=str, start_to_close_timeout=timedelta(minutes=1)
        )


@workflow.defn
class Once:
    @workflow.run
    async def run(self, connection_id: str, activity: str) -> str:
        return await workflow.execute_activity(
            activity, connection_id, result_type=str, start_to_close_timeout=timedelta(minutes=1)
        )


@activity.defn
async def know(connection_id: str) -> str:
    """Uses no provider at all."""
    async with everlink.credential(connection_id) as credential:
        return str(credential.generation)
