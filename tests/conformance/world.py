"""An API and a worker whose requests to providers arrive at one that a catalog entry describes."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from pydantic import SecretStr
from sqlalchemy import Select, select
from temporalio.client import Client
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.limits import Limiter
from activities.probe import ProbeActivities
from activities.refresh import RefreshActivities
from activities.shared import Shared, open_shared
from api.app import create_app
from api.services import Services
from everlink.contract import TRANSIENT, CredentialOutcome, CredentialTask, Environment, Verdict
from providers.catalog import Catalog
from providers.entry import CatalogEntry
from providers.inbound.keysets import KeySets
from store.connections import connection_ref
from store.database import utc_now
from store.scope import Scope
from store.settings import Settings
from store.tables import PROVIDER_EVENTS
from tests.conformance.wire import Internet
from worker import make_worker, plugin

ADDRESS = "https://everlink.example"


@dataclass
class World:
    """Everlink, its product's client, and the internet."""

    internet: Internet
    made: Services
    shared: Shared
    scope: Scope
    product: httpx.AsyncClient
    browser: httpx.AsyncClient

    def knows(self, entry: CatalogEntry) -> None:
        """From now on this is what Everlink knows of the application."""
        others = [one for one in self.made.catalog if one.slug != entry.slug]
        self.made.catalog = self.shared.catalog = Catalog([*others, entry])

    async def refresh(self, connection_id: str) -> CredentialOutcome:
        """One try of the activity."""
        return await self._try(RefreshActivities(self.shared).refresh, connection_id)

    async def probe(self, connection_id: str) -> CredentialOutcome:
        return await self._try(ProbeActivities(self.shared).probe, connection_id)

    async def dispatched(self) -> None:
        """Every event of a provider that was kept has been told to whom it is about."""
        waiting = select(PROVIDER_EVENTS.c.id).where(PROVIDER_EVENTS.c.dispatched_at.is_(None))
        async with asyncio.timeout(20):
            while await self._any(waiting):
                await asyncio.sleep(0.02)

    async def _any(self, query: Select[Any]) -> bool:
        async with self.made.database.reading() as reading:
            return (await reading.execute(query)).first() is not None

    async def forgive(self, connection_id: str) -> None:
        """Nothing is held against the application's client any more."""
        self.shared.limiter = Limiter()
        await self.shared.alarm((await self._task(connection_id)).ref, None)

    async def _try(self, activity: Any, connection_id: str) -> CredentialOutcome:
        task = await self._task(connection_id)
        self.shared.limiter = Limiter()  # time has passed: it is asked again at once
        try:
            outcome: CredentialOutcome = await ActivityEnvironment().run(activity, task)
        except ApplicationError as error:
            if error.type != TRANSIENT:
                raise
            return CredentialOutcome(verdict=Verdict.TRANSIENT, generation=task.generation, note=error.message)
        return outcome

    async def _task(self, connection_id: str) -> CredentialTask:
        row = await self.made.connections.get(self.scope, connection_id)
        stored = await self.made.credentials.read(self.scope, connection_id)
        assert row is not None and stored is not None
        return CredentialTask(ref=connection_ref(row), generation=stored.generation)


@asynccontextmanager
async def running(folder: Path, sqlite_template: Path, temporal_address: str) -> AsyncIterator[World]:
    shutil.copy(sqlite_template, folder / "everlink.sqlite3")
    settings = Settings(
        dev=True,
        state_dir=folder,
        database_url=SecretStr(f"sqlite+aiosqlite:///{folder}/everlink.sqlite3"),
        temporal_address=temporal_address,
        public_url=ADDRESS,
        address_rate_limit="",
        key_rate_limit="",
    )
    app = create_app(settings)
    async with Internet().open() as internet, app.router.lifespan_context(app), open_shared(settings) as shared:
        made: Services = app.state.services
        async with internet.client() as made.http, internet.client() as shared.http:
            made.key_sets = KeySets(made.http)
            shared.temporal = await Client.connect(temporal_address, plugins=[plugin(shared, sandboxed=False)])
            scope = Scope(await made.tenants.add_organization("Acme", utc_now()), Environment.TEST)
            await made.tenants.save_linked_account(scope, "acme", {}, utc_now())
            headers = {"x-api-key": await made.api_keys.add(scope, "test", utc_now()), "linked_account_id": "acme"}
            local = httpx.ASGITransport(app)
            async with (
                make_worker(shared.temporal, settings),
                httpx.AsyncClient(transport=local, base_url=ADDRESS, headers=headers, timeout=40) as product,
                httpx.AsyncClient(transport=local, base_url=ADDRESS, timeout=40) as browser,
            ):
                yield World(internet, made, shared, scope, product, browser)
