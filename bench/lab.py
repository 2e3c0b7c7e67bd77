"""What the parts measure on: one Temporal dev server, one token endpoint, and a store for each part."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Coroutine, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any, TypeVar

import httpx
from pydantic import SecretStr
from temporalio.client import WorkflowHandle
from temporalio.service import RPCError

from api.services import Services, open_services
from bench.processes import Child, running
from dev.config import free_port
from everlink.contract import (
    SEARCH_ATTRIBUTES,
    TASK_QUEUE,
    AuthType,
    ConnectionRef,
    ConnectionState,
    ConnectionStatus,
    Environment,
    Lifetimes,
    ReauthReason,
    Workflow,
    connection_workflow_id,
    search_attributes,
    static_details,
    static_summary,
)
from providers.credential import OAuthCredential, to_bytes
from store.database import Database, utc_now
from store.migrate import migrate
from store.scope import Scope
from store.settings import Settings
from store.tables import CONNECTIONS, CREDENTIALS
from store.tenants import Tenants
from store.vault import Kind, new_master_key
from tests.postgres import Postgres, binaries
from workflows.timing import seconds_until_due

Handle = WorkflowHandle[Any, Any]
Result = TypeVar("Result")

NAMESPACES = (
    *("sqlite", "postgresql", "histories", "cached", "sleeping", "storm"),
    *("reads-sqlite", "reads-postgresql", "webhooks-sqlite", "webhooks-postgresql"),
    *("isolation", "hooks-sqlite", "hooks-postgresql"),
    *("waiting", "waiting-user"),
)
APPLICATIONS = {f"bench{number}": f"127.0.1.{number}" for number in range(1, 41)}  # and where each has its endpoint
ACCOUNT = "acme"
AT_ONCE = 16  # requests that the bench has under way

CATALOG = """
slug: {slug}
name: Bench
description: Answers at once.
icon: ""
auth_type: oauth2
oauth2:
  authorize_url: http://{host}:{port}/authorize
  token_url: http://{host}:{port}/token
"""


@dataclass
class Site:
    """One store and one Temporal namespace, with the tenant that the bench acts for."""

    made: Services
    settings: Settings
    scope: Scope
    endpoint: httpx.AsyncClient

    @property
    def environment(self) -> dict[str, str]:
        """What this site's processes are told."""
        set_here = self.settings.model_dump(exclude_unset=True)
        values = {name: v.get_secret_value() if isinstance(v, SecretStr) else str(v) for name, v in set_here.items()}
        return {f"EVERLINK_{name.upper()}": value for name, value in values.items()}

    @asynccontextmanager
    async def worker(self, cached: int | None = None, metrics: int | None = None) -> AsyncIterator[Child]:
        """The worker, with so many workflows in its cache, and its metrics on a port."""
        options = {"--cached": cached, "--metrics": metrics}
        extra = [f"{name}={value}" for name, value in options.items() if value is not None]
        async with running(sys.executable, "-m", "bench.worker", *extra, env=self.environment) as worker:
            await worker.line()
            yield worker

    async def granted(self, count: int, lifetime: float, renewed: float) -> list[OAuthCredential]:
        """Grants of the endpoint: how long their access tokens live, and those that a refresh will give."""
        params = {"count": count, "lifetime": lifetime, "renewed": renewed}
        answer = await self.endpoint.get("/seed", params=params)
        return [OAuthCredential.model_validate(grant) for grant in answer.json()]

    async def seed(
        self, count: int, lifetime: float, renewed: float, *, revoked: bool = False
    ) -> list[ConnectionState]:
        """Connections in the store, as if they had been connected just now, and the states to start them from.

        Revoked ones wait for their customers.
        """
        status = ConnectionStatus.REAUTH_REQUIRED if revoked else ConnectionStatus.ACTIVE
        reason = ReauthReason.ACCESS_REVOKED if revoked else None
        now, random = utc_now(), Random(count)
        lifetimes = Lifetimes(expires_in=lifetime, renewable=True)
        expires_at = now + timedelta(seconds=lifetime)
        states, rows, credentials, slugs = [], [], [], list(APPLICATIONS)
        for number, credential in enumerate(await self.granted(count, lifetime, renewed)):
            ref = ConnectionRef(
                **self.scope._asdict(),
                connection_id=f"con_{int(now.timestamp() * 1e6):x}{number:06x}".ljust(36, "0"),
                slug=slugs[number % len(slugs)],
                linked_account_id=ACCOUNT,
                identifier=f"{now.timestamp()}-{number}",
                auth_type=AuthType.OAUTH2,
            )
            rows.append(
                {
                    "id": ref.connection_id,
                    **ref.model_dump(exclude={"connection_id"}),
                    "status": status,
                    "reason": reason,
                    "health": "ok",
                    "sequence": 1,
                    "status_since": now,
                    "created_at": now,
                }
            )
            sealed = await self.made.vault.seal(self.scope, Kind.CREDENTIAL, ref.connection_id, to_bytes(credential))
            credentials.append(
                {
                    "connection_id": ref.connection_id,
                    **self.scope.columns,
                    "generation": 1,
                    "sealed": sealed,
                    "renewable": True,
                    "expires_at": expires_at,
                    "updated_at": now,
                }
            )
            states.append(
                ConnectionState(
                    ref=ref,
                    status=status,
                    reason=reason,
                    since=now,
                    generation=1,
                    grant_generation=1,
                    granted_at=now,
                    lifetimes=lifetimes,
                    expires_at=expires_at,
                    next_at=None if revoked else now + timedelta(seconds=seconds_until_due(lifetimes, random)),
                    sequence=1,
                )
            )
        async with self.made.database.writing() as connection:
            await connection.execute(CONNECTIONS.insert(), rows)
            await connection.execute(CREDENTIALS.insert(), credentials)
        return states

    async def wake(self, states: Iterable[ConnectionState]) -> list[Handle]:
        """Start the workflows of connections, as the API starts one that was lost."""

        async def start(state: ConnectionState) -> Handle:
            handle: Handle = await self.made.temporal.start_workflow(
                Workflow.CONNECTION,
                state,
                id=connection_workflow_id(state.ref.connection_id),
                task_queue=TASK_QUEUE,
                search_attributes=search_attributes(state.ref, state.status),
                static_summary=static_summary(state.ref),
                static_details=static_details(state.ref),
            )
            return handle

        return await few_at_once(start(state) for state in states)


class Lab:
    """Starts what the parts ask for; everything ends with it."""

    def __init__(self, folder: Path, stack: AsyncExitStack) -> None:
        self.folder = folder
        self._stack = stack
        self._postgres: Postgres | None = None

    async def open(self) -> None:
        self.endpoint = await self._stack.enter_async_context(running(sys.executable, "-m", "bench.endpoint"))
        self.endpoint_port = await self.endpoint.line()
        http = httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.endpoint_port}", timeout=60)
        self.http = await self._stack.enter_async_context(http)
        self.temporal_file = self.folder / "temporal.sqlite3"
        port = free_port()
        self.temporal_address = f"127.0.0.1:{port}"
        command = [str(Path(sys.executable).parent / "temporal"), "server", "start-dev", "--headless"]
        command += ["--ip", "127.0.0.1", "--port", f"{port}", "--db-filename", str(self.temporal_file)]
        command += ["--sqlite-pragma", "journal_mode=wal", "--sqlite-pragma", "synchronous=normal"]
        command += ["--log-level", "never"]
        for name in NAMESPACES:
            command += ["--namespace", name]
        command += [f"--search-attribute={key.name}={key.indexed_value_type.name.title()}" for key in SEARCH_ATTRIBUTES]
        log = self.folder / "temporal.log"
        self.server = await self._stack.enter_async_context(running(*command, log=log))

    async def postgres(self) -> Postgres | None:
        """A PostgreSQL server that writes as durably as in production; None where it is not installed."""
        programs = binaries()
        if self._postgres is None and programs is not None:
            server = await asyncio.to_thread(Postgres, programs)
            self._stack.callback(server.remove)
            await asyncio.to_thread(server.start, fsync=True)
            self._stack.callback(server.stop)
            self._postgres = server
        return self._postgres

    @asynccontextmanager
    async def site(self, namespace: str, postgres: Postgres | None = None) -> AsyncIterator[Site]:
        """An empty store, migrated, with a tenant that has enabled the endpoint as so many applications."""
        folder = self.folder / namespace
        (folder / "catalog").mkdir(parents=True)
        for slug, host in APPLICATIONS.items():
            entry = CATALOG.format(slug=slug, host=host, port=self.endpoint_port)
            (folder / "catalog" / f"{slug}.yaml").write_text(entry)
        if postgres is None:
            url = f"sqlite+aiosqlite:///{folder}/everlink.sqlite3"
        else:
            postgres.create(namespace)
            url = postgres.url(namespace)
        await _migrated(url)
        settings = Settings(
            database_url=SecretStr(url),
            master_key=SecretStr(new_master_key()),
            temporal_address=self.temporal_address,
            temporal_namespace=namespace,
            catalog_dir=folder / "catalog",
            allowed_targets=" ".join(APPLICATIONS.values()),
            port=free_port(),
            log_level="WARNING",
            key_rate_limit="",
            address_rate_limit="",
        )
        async with open_services(settings) as made:
            await _ready(made)
            tenants, now = Tenants(made.database), utc_now()
            scope = Scope(await tenants.add_organization("Bench", now), Environment.TEST)
            await tenants.save_linked_account(scope, ACCOUNT, {}, now)
            for slug in APPLICATIONS:
                application = await tenants.enable_application(scope, slug, {"client_id": "bench"}, now)
                secret = await made.vault.seal(scope, Kind.CLIENT_SECRET, application, b"secret")
                await tenants.enable_application(scope, slug, {"client_secret": secret}, now)
            yield Site(made, settings, scope, self.http)


@asynccontextmanager
async def laboratory(folder: Path) -> AsyncIterator[Lab]:
    async with AsyncExitStack() as stack:
        lab = Lab(folder, stack)
        await lab.open()
        yield lab


async def few_at_once(work: Iterable[Coroutine[Any, Any, Result]]) -> list[Result]:
    """All results in order, a bounded number of them under way."""
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(coroutine: Coroutine[Any, Any, Result]) -> Result:
        async with slots:
            return await coroutine

    return list(await asyncio.gather(*(one(coroutine) for coroutine in work)))


async def answers(api: httpx.AsyncClient) -> None:
    """Wait until an API process can be used."""
    async with asyncio.timeout(60):
        while True:
            try:
                if (await api.get("/readyz")).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.1)


async def _migrated(url: str) -> None:
    database = Database(url)
    await migrate(database)
    await database.close()


async def _ready(made: Services) -> None:
    """Wait until the namespace can be used."""
    async with asyncio.timeout(60):
        while True:
            try:
                await made.temporal.count_workflows()
                return
            except (RPCError, RuntimeError):
                await asyncio.sleep(0.1)
