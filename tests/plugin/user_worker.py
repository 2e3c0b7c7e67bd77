"""A user's worker, whose activity asks the sandbox who the customer is. As a process it can be killed:
`python -m tests.plugin.user_worker TEMPORAL QUEUE SANDBOX API KEY [ENDPOINT]`.
"""

from __future__ import annotations

import asyncio
import sys

from temporalio import activity
from temporalio.client import Client
from temporalio.worker import Worker

import everlink
from tests.plugin.world import POLL, WORKFLOWS


def user_worker(client: Client, queue: str, sandbox: str, api: str, key: str, endpoint: str | None = None) -> Worker:
    @activity.defn
    async def sync(connection_id: str) -> str:
        async with everlink.http(connection_id, base_url=sandbox) as http:
            answer = await http.get("/api/me")
            return str(answer.raise_for_status().json()["email"])

    plugin = everlink.EverlinkPlugin(api, key, nexus_endpoint=endpoint, poll=POLL)
    return Worker(client, task_queue=queue, workflows=WORKFLOWS, activities=[sync], plugins=[plugin])


async def main(temporal: str, *args: str) -> None:
    async with user_worker(await Client.connect(temporal), *args):
        print("ready", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
