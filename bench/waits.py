"""All of Everlink (API, worker, SQLite), and users' workflows that wait for customers, in a namespace of their own."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
from sqlalchemy import func, select
from temporalio.client import Client

from api.lifecycle import Grant, Target, establish
from bench.lab import ACCOUNT, Handle, Lab, Site, answers
from bench.processes import Child, running
from bench.user import TASK_QUEUE
from dev.config import free_port
from everlink.contract import ConnectionState, Workflow
from providers.credential import OAuthCredential
from providers.identity import Whose
from store.api_keys import ApiKeys
from store.database import Access, utc_now
from store.tables import EVENTS

LIFETIME = 30 * 86400.0  # nothing is refreshed meanwhile
STILL_SECONDS = 2.0
LONGEST_SECONDS = 1800.0  # for ten thousand to begin to wait
REPOSITORY = Path(__file__).parent.parent


@dataclass(frozen=True)
class World:
    """A site with its processes, and the namespace of a user of it."""

    lab: Lab
    site: Site
    user: Client
    api: httpx.AsyncClient
    key: str
    worker: Child  # Everlink's
    worker_metrics: int  # the port
    api_process: Child

    @asynccontextmanager
    async def users_worker(self, *options: str) -> AsyncIterator[Child]:
        told = {
            "BENCH_TEMPORAL": self.lab.temporal_address,
            "BENCH_NAMESPACE": self.user.namespace,
            "BENCH_EVERLINK": str(self.api.base_url),
            "BENCH_API_KEY": self.key,
        }
        async with running(sys.executable, "-m", "bench.user", *options, env=told) as worker:
            await worker.line()
            yield worker

    async def revoked(self, count: int) -> list[ConnectionState]:
        """Connections that wait for their customers."""
        states = await self.site.seed(count, LIFETIME, LIFETIME, revoked=True)
        await self.site.wake(states)
        return states

    async def start(self, workflow: str, *args: Any) -> Handle:
        handle: Handle = await self.user.start_workflow(
            workflow, args=args, id=f"{workflow}/{uuid4().hex}", task_queue=TASK_QUEUE, result_type=float
        )
        return handle

    async def credentials(self, count: int) -> list[OAuthCredential]:
        """What customers give when they reconnect."""
        return await self.site.granted(count, LIFETIME, LIFETIME)

    async def reconnect(self, state: ConnectionState, credential: OAuthCredential) -> None:
        """What the API does when a customer's consent has been exchanged for a credential."""
        entry = self.site.made.catalog.get(state.ref.slug)
        assert entry is not None
        grant = Grant(credential, renewable=True, expires_in=LIFETIME, whose=Whose(state.ref.identifier))
        await establish(self.site.made, Target(self.site.scope, ACCOUNT, state.ref.connection_id), entry, grant)

    async def recorded(self, state: ConnectionState) -> float:
        """When its last event was written."""
        latest = select(func.max(EVENTS.c.created_at)).where(EVENTS.c.connection_id == state.ref.connection_id)
        database = self.site.made.database
        at: datetime = await database.run(Access.READ, lambda held: held.execute(latest).scalar_one())
        return at.timestamp()

    async def until_wait(self, count: int) -> None:
        """Until so many wait, and nothing has been written to any history for a while."""
        async with asyncio.timeout(LONGEST_SECONDS):
            written, since = -1, time.monotonic()
            while time.monotonic() - since < STILL_SECONDS or await self._waiting() < count:
                await asyncio.sleep(STILL_SECONDS / 10)
                if (now := sum(self.histories().values())) != written:
                    written, since = now, time.monotonic()

    async def _waiting(self) -> int:
        running = f'WorkflowType="{Workflow.WAITING}" AND ExecutionStatus="Running"'
        return (await self.site.made.temporal.count_workflows(running)).count

    def histories(self) -> dict[bytes, int]:
        """Batches of events of each workflow run, as the server's database has them."""
        with closing(sqlite3.connect(self.lab.temporal_file, timeout=60)) as connection:
            return dict(connection.execute("SELECT tree_id, COUNT(*) FROM history_node GROUP BY tree_id"))


@asynccontextmanager
async def world(lab: Lab) -> AsyncIterator[World]:
    metrics = free_port()
    async with lab.site("waiting") as site, site.worker(metrics=metrics) as worker:
        await _create_endpoint(site)
        server = running(sys.executable, "-m", "bench.server", env=site.environment, log=lab.folder / "api.log")
        key = await ApiKeys(site.made.database).add(site.scope, "bench", utc_now())
        url = f"http://127.0.0.1:{site.settings.port}"
        async with server as api_process, httpx.AsyncClient(base_url=url, timeout=60) as api:
            await answers(api)
            user = await Client.connect(lab.temporal_address, namespace="waiting-user")
            yield World(lab, site, user, api, key, worker, metrics, api_process)


async def _create_endpoint(site: Site) -> None:
    command = (sys.executable, str(REPOSITORY / "manage.py"), "create-nexus-endpoint")
    async with running(*command, env=site.environment) as made:
        await made.line()
