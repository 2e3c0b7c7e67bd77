"""The product's worker: `python -m examples.sync.worker`. `make sync` sets what it reads from the environment."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from pathlib import Path

from temporalio.client import Client
from temporalio.envconfig import ClientConfig
from temporalio.worker import Worker

from everlink import EverlinkPlugin
from examples.sync.activities import SyncActivities
from examples.sync.workflow import SyncContacts

TASK_QUEUE = "sync"


async def main() -> None:
    activities = SyncActivities(os.environ["SANDBOX_URL"], Path(os.environ["SYNC_DATABASE"]))
    everlink = EverlinkPlugin(os.environ["EVERLINK_URL"], os.environ["EVERLINK_API_KEY"], nexus_endpoint="everlink")
    config = ClientConfig.load_client_connect_config()
    config.setdefault("target_host", "localhost:7233")
    worker = Worker(
        await Client.connect(**config),
        task_queue=TASK_QUEUE,
        workflows=[SyncContacts],
        activities=[activities.sync_page],
        plugins=[everlink],  # the one line
    )
    await worker.run()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(main())
