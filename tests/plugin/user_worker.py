"""A user's worker as a process, to be killed: `python -m tests.plugin.user_worker TEMPORAL QUEUE API [ENDPOINT]`."""

from __future__ import annotations

import asyncio
import sys

import httpx
from temporalio import activity
from temporalio.client import Client
from temporalio.worker import Worker

from everlink import EverlinkPlugin
from everlink.contract import ConnectionStatus
from tests.plugin.world import POLL, WORKFLOWS, dead


async def main(temporal: str, queue: str, api: str, endpoint: str | None = None) -> None:
    async with httpx.AsyncClient() as http:

        @activity.defn
        async def sync(connection_id: str) -> str:
            answer = (await http.get(f"{api}/v1/connections/{connection_id}")).json()
            if answer["status"] != ConnectionStatus.ACTIVE:
                raise dead(connection_id, endpoint=endpoint).failure()
            return f"synced {connection_id}"

        plugin = EverlinkPlugin(api, "tk_user", poll=POLL)
        client = await Client.connect(temporal)
        async with Worker(client, task_queue=queue, workflows=WORKFLOWS, activities=[sync], plugins=[plugin]):
            print("ready", flush=True)
            await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
