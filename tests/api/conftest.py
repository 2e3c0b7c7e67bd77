"""The real API on a real port, with a real worker, Temporal, sandbox and store."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from pydantic import SecretStr
from sqlalchemy import update
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment

from activities.shared import open_shared
from api.app import create_app
from api.server import server_options
from api.services import Services
from dev.config import free_port
from everlink.contract import Environment
from sandbox.customer import Customer
from store.api_keys import ApiKeys
from store.codec import client_plugin
from store.database import utc_now
from store.scope import Scope
from store.settings import Settings
from store.tables import CREDENTIALS
from store.tenants import Tenants
from tests.api.provider import Provider, running_provider, write_entries
from tests.api.visitor import Visitor
from tests.sandbox_process import running_sandbox, write_catalog
from worker import make_nexus_worker, make_worker, plugin

OAUTH_URL = "/api/v2/public/linked-account/integration/oauth-url/sandbox"
SAVE_KEY = "/api/v2/public/linked-account/integration/save-key-credentials/sandbox-key"


@pytest.fixture(scope="session")
async def sandbox(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    folder = tmp_path_factory.mktemp("sandbox")
    async with running_sandbox(folder, SANDBOX_ACCESS_TOKEN_SECONDS="3600") as url:
        yield url


@pytest.fixture(scope="session")
async def sites() -> AsyncIterator[Provider]:
    """A provider of the kinds that the sandbox is not."""
    async with running_provider() as provider:
        yield provider


@dataclass
class Everlink:
    """An API with its worker, and ways to act on it as a product and as a customer."""

    url: str
    app: FastAPI
    sandbox: str
    clients: list[httpx.AsyncClient] = field(default_factory=list)

    @property
    def made(self) -> Services:
        services: Services = self.app.state.services
        return services

    async def product(self, org: str = "Acme", environment: Environment = Environment.TEST) -> httpx.AsyncClient:
        """A client with a new organization's key, both applications enabled, for the linked account `acme`."""
        tenants = Tenants(self.made.database)
        scope = Scope(await tenants.add_organization(org, utc_now()), environment)
        return await self.client(scope)

    async def client(self, scope: Scope) -> httpx.AsyncClient:
        key = await ApiKeys(self.made.database).add(scope, "test", utc_now())
        headers = {"x-api-key": key, "linked_account_id": "acme"}
        client = httpx.AsyncClient(base_url=self.url, headers=headers, timeout=40)
        self.clients.append(client)
        credentials = {"client_id": "everlink-sandbox", "client_secret": "sandbox-secret"}
        assert (await client.put("/v1/applications/sandbox", json=credentials)).status_code == 200
        assert (await client.put("/v1/applications/sandbox-key", json={})).status_code == 200
        assert (await client.post("/api/v2/public/linked-account", json={"account_id": "acme"})).status_code == 200
        return client

    def customer(self, name: str = "ada") -> Customer:
        return Customer(self.sandbox, name, f"{name}-password")

    async def connect(self, product: httpx.AsyncClient, name: str = "ada") -> str:
        """Connect through real consent; answers the connection's id."""
        link = (await product.get(OAUTH_URL)).json()["auth_url"]
        async with self.customer(name) as customer:
            page = await customer.consent(link)
            assert page.status_code == 200, page.text
        listed = (await product.get("/v1/connections", params={"status": "active"})).json()["connections"]
        return str(next(item["id"] for item in listed if item["identifier"].startswith(name)))


@asynccontextmanager
async def running(settings: Settings, sandbox: str, *, worker: bool = True) -> AsyncIterator[Everlink]:
    """An API process's application on its port, and a worker beside it."""
    app = create_app(settings)
    server = uvicorn.Server(uvicorn.Config(app, **server_options(settings)))
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.02)
    everlink = Everlink(settings.public_url, app, sandbox)
    try:
        if worker:
            async with open_shared(settings) as shared:
                shared.temporal = await Client.connect(
                    settings.temporal_address, plugins=[plugin(shared), client_plugin(settings)]
                )
                nexus = make_nexus_worker(shared.temporal, shared, settings)
                async with make_worker(shared.temporal, settings), nexus:
                    yield everlink
        else:
            yield everlink
    finally:
        for client in everlink.clients:
            await client.aclose()
        server.should_exit = True
        await serving


def settings_for(database_url: str, folder: Path, sandbox: str, temporal_address: str) -> Settings:
    port = free_port()
    return Settings(
        dev=True,
        state_dir=folder,
        database_url=SecretStr(database_url),
        temporal_address=temporal_address,
        public_url=f"http://127.0.0.1:{port}",
        port=port,
        catalog_dir=write_catalog(folder / "catalog", sandbox),
        allowed_targets="127.0.0.1",
        log_level="WARNING",
        address_rate_limit="",  # all tests come from one
    )


@pytest.fixture(scope="session")
async def everlink(
    tmp_path_factory: pytest.TempPathFactory,
    sqlite_template: Path,
    sandbox: str,
    sites: Provider,
    temporal: WorkflowEnvironment,
) -> AsyncIterator[Everlink]:
    """One for all tests; each test takes an organization of its own."""
    folder = tmp_path_factory.mktemp("api")
    shutil.copy(sqlite_template, folder / "everlink.sqlite3")
    address = temporal.client.service_client.config.target_host
    settings = settings_for(f"sqlite+aiosqlite:///{folder}/everlink.sqlite3", folder, sandbox, address)
    write_entries(folder / "catalog", sites.url)
    async with running(settings, sandbox) as one:
        yield one


@pytest.fixture
async def product(everlink: Everlink) -> httpx.AsyncClient:
    return await everlink.product()


@pytest.fixture
async def ada(everlink: Everlink) -> AsyncIterator[Visitor]:
    """In a browser of her own."""
    async with Visitor(everlink.sandbox, "ada", "ada-password") as visitor:
        yield visitor


@pytest.fixture
async def grace(everlink: Everlink) -> AsyncIterator[Visitor]:
    """In a browser of her own."""
    async with Visitor(everlink.sandbox, "grace", "grace-password") as visitor:
        yield visitor


@pytest.fixture
async def link(product: httpx.AsyncClient) -> str:
    """To consent at the sandbox."""
    return str((await product.get(OAUTH_URL)).json()["auth_url"])


async def age(everlink: Everlink, connection_id: str, seconds_left: float) -> None:
    """The store says that the token is a day old and ends so soon; the provider knows better."""
    ends = utc_now() + timedelta(seconds=seconds_left)
    values = {"expires_at": ends, "updated_at": ends - timedelta(days=1)}
    async with everlink.made.database.writing() as writing:
        mine = CREDENTIALS.c.connection_id == connection_id
        await writing.execute(update(CREDENTIALS).where(mine).values(values))


async def until_status(product: httpx.AsyncClient, connection_id: str, status: str) -> dict[str, object]:
    async with asyncio.timeout(20):
        while True:
            found: dict[str, object] = (await product.get(f"/v1/connections/{connection_id}")).json()
            if found["status"] == status:
                return found
            await asyncio.sleep(0.05)
