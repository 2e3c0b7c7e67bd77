"""A real worker that holds the first refresh of each connection at the step that its linked account names.

It writes to the file that it is given which connection holds and which goes on; standard output is full of the SDK's
warnings. SIGCONT, which ends a stop, ends all holds.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from contextvars import ContextVar
from datetime import datetime, timedelta
from typing import Any, TextIO

import httpx
from temporalio import worker
from temporalio.client import Client
from temporalio.plugin import SimplePlugin

from activities.shared import open_shared
from everlink.contract import Activity, ConnectionRef, CredentialTask
from store.credentials import Credentials, Intent, Leased, StoredClient, StoredCredential
from store.database import Database
from store.scope import Scope
from store.settings import Settings
from tests.chaos.steps import Step
from worker import make_worker, plugin

READY, HOLDING, GOING_ON = "ready", "holding", "going-on"  # the first words of its lines

refreshing: ContextVar[ConnectionRef | None] = ContextVar("refreshing", default=None)


class Holds:
    """Each connection holds once."""

    def __init__(self, told: TextIO) -> None:
        self._told = told
        self._held: set[str] = set()
        self._ended = asyncio.Event()

    async def at(self, step: Step) -> None:
        ref = refreshing.get()
        if ref is None or Step(ref.linked_account_id.partition("-")[0]) is not step or ref.connection_id in self._held:
            return
        self._held.add(ref.connection_id)
        self.tell(HOLDING, ref.connection_id, step)
        try:
            await self._ended.wait()
        finally:
            self.tell(GOING_ON, ref.connection_id, step)

    def tell(self, *words: str) -> None:
        print(*words, file=self._told, flush=True)

    def end(self) -> None:
        self._ended.set()


class HoldingCredentials(Credentials):
    def __init__(self, database: Database, holds: Holds) -> None:
        super().__init__(database)
        self._holds = holds

    async def read_both(
        self, scope: Scope, connection_id: str, slug: str
    ) -> tuple[StoredCredential | None, StoredClient | None]:
        both = await super().read_both(scope, connection_id, slug)
        await self._holds.at(Step.READ)
        return both

    async def begin(
        self, connection_id: str, generation: int, now: datetime, lease: timedelta
    ) -> Intent | Leased | None:
        await self._holds.at(Step.BEGINNING)
        intent = await super().begin(connection_id, generation, now, lease)
        await self._holds.at(Step.BEGUN)
        return intent

    async def swap(
        self,
        connection_id: str,
        expected: int,
        credential: StoredCredential,
        now: datetime,
        intent: Intent | None = None,
    ) -> bool:
        await self._holds.at(Step.SWAPPING)
        swapped = await super().swap(connection_id, expected, credential, now, intent)
        await self._holds.at(Step.SWAPPED)
        return swapped


class HoldingTransport(httpx.AsyncBaseTransport):
    """The product's transport, held at what it tells of itself."""

    STEPS = {
        "http11.send_request_headers.started": Step.SENDING,
        "http11.send_request_body.started": Step.HALF_SENT,
        "http11.receive_response_headers.complete": Step.ANSWERED,
    }

    def __init__(self, real: httpx.AsyncBaseTransport, holds: Holds) -> None:
        self._real = real
        self._holds = holds

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        told = request.extensions["trace"]

        async def trace(event: str, details: Any) -> None:
            await told(event, details)
            if event in self.STEPS:
                await self._holds.at(self.STEPS[event])

        request.extensions = {**request.extensions, "trace": trace}
        return await self._real.handle_async_request(request)

    async def aclose(self) -> None:
        await self._real.aclose()


class Refreshes(worker.Interceptor):
    """Knows whose refresh runs, and holds its result back."""

    def __init__(self, holds: Holds) -> None:
        self._holds = holds

    def intercept_activity(self, next: worker.ActivityInboundInterceptor) -> worker.ActivityInboundInterceptor:
        return _Refresh(next, self._holds)


class _Refresh(worker.ActivityInboundInterceptor):
    def __init__(self, next: worker.ActivityInboundInterceptor, holds: Holds) -> None:
        super().__init__(next)
        self._holds = holds

    async def execute_activity(self, input: worker.ExecuteActivityInput) -> Any:
        task = input.args[0]
        if input.fn.__name__ == Activity.REFRESH and isinstance(task, CredentialTask):
            refreshing.set(task.ref)
        result = await self.next.execute_activity(input)
        await self._holds.at(Step.REPORTING)
        return result


async def run(settings: Settings, told: TextIO) -> None:
    holds, stop, loop = Holds(told), asyncio.Event(), asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGCONT, holds.end)
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    async with open_shared(settings) as shared:
        shared.credentials = HoldingCredentials(shared.database, holds)
        shared.http._transport = HoldingTransport(shared.http._transport, holds)
        held = SimplePlugin("everlink.chaos", interceptors=[Refreshes(holds)])
        shared.temporal = await Client.connect(
            settings.temporal_address, namespace=settings.temporal_namespace, plugins=[plugin(shared), held]
        )
        async with make_worker(shared.temporal, settings):
            holds.tell(READY)
            await stop.wait()


if __name__ == "__main__":
    with open(sys.argv[1], "a") as file:
        asyncio.run(run(Settings(), file))
