"""What one run needs: a Temporal server, a sandbox, a store, and grants that a customer gave."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from api.services import Services, open_services
from dev.config import ROOT
from everlink.contract import Environment
from providers.credential import OAuthCredential
from providers.entry import CatalogEntry, OAuth2
from providers.oauth2 import Client, authorize_url, exchange_code, new_verifier
from providers.verdict import judge_token_answer
from sandbox.customer import Customer
from store.database import utc_now
from store.scope import Scope
from store.settings import Settings
from store.tenants import Tenants
from store.vault import Kind
from tests.chaos.steps import Server
from tests.sandbox_process import running_sandbox, write_catalog
from tests.servers import start_dev_server

CLIENT = Client("everlink-sandbox", "sandbox-secret")


@dataclass(frozen=True)
class World:
    """One tenant of one Everlink, without a worker yet."""

    folder: Path
    sandbox: str
    made: Services
    scope: Scope

    @property
    def entry(self) -> CatalogEntry:
        entry = self.made.catalog.get("sandbox")
        assert entry is not None
        return entry

    @property
    def oauth2(self) -> OAuth2:
        assert self.entry.oauth2 is not None
        return self.entry.oauth2

    @property
    def told(self) -> Path:
        """Where the victim tells what it does."""
        return self.folder / "told.txt"

    async def worker(self, name: str, *command: str) -> Process:
        """A worker process; its log is in the run's folder."""
        settings = self.made.settings
        with (self.folder / f"{name}.log").open("ab") as log:
            return await asyncio.create_subprocess_exec(
                sys.executable,
                *command,
                cwd=ROOT,
                env={
                    **os.environ,
                    "EVERLINK_DEV": "1",
                    "EVERLINK_STATE_DIR": str(settings.state_dir),
                    "EVERLINK_DATABASE_URL": settings.database_url.get_secret_value(),
                    "EVERLINK_TEMPORAL_ADDRESS": settings.temporal_address,
                    "EVERLINK_CATALOG_DIR": str(settings.catalog_dir),
                    "EVERLINK_ALLOWED_TARGETS": settings.allowed_targets,
                },
                stdout=log,
                stderr=log,
            )

    async def grants(self, count: int) -> list[OAuthCredential]:
        """As many grants, each with a token family of its own, by the sandbox's real consent."""
        async with Customer(self.sandbox, "ada", "ada-password") as ada:
            return [await self._grant(ada) for _ in range(count)]

    async def _grant(self, customer: Customer) -> OAuthCredential:
        verifier, redirect_uri = new_verifier(), f"{self.sandbox}/healthz"
        link = authorize_url(
            self.oauth2, CLIENT, redirect_uri=redirect_uri, state="-", verifier=verifier, scopes=self.oauth2.scopes
        )
        code = (await customer.consent(link)).url.params["code"]
        answer = await exchange_code(
            self.made.http, self.oauth2, CLIENT, code=code, redirect_uri=redirect_uri, verifier=verifier
        )
        credential = judge_token_answer(answer, self.oauth2, None).credential
        assert credential is not None, answer.status
        return credential


@asynccontextmanager
async def new_world(folder: Path, server: Server, database_url: str) -> AsyncIterator[World]:
    """All of it in a folder of this run's own, on a migrated database."""
    # Redirects end at a page of the sandbox's own: only their code is wanted.
    variables = {
        "SANDBOX_ACCESS_TOKEN_SECONDS": "3600",
        "SANDBOX_GRACE_SECONDS": str(server.grace_seconds),
        "SANDBOX_REDIRECT_URIS": "http://127.0.0.1/healthz",
    }
    async with await start_dev_server() as temporal, running_sandbox(folder, **variables) as sandbox:
        settings = Settings(
            dev=True,
            state_dir=folder,
            database_url=SecretStr(database_url),
            temporal_address=temporal.client.service_client.config.target_host,
            catalog_dir=_catalog(folder / "catalog", server, sandbox),
            allowed_targets="127.0.0.1",
        )
        async with open_services(settings) as made:
            yield World(folder, sandbox, made, await _tenant(made))


def _catalog(folder: Path, server: Server, sandbox: str) -> Path:
    """The sandbox's entry as this server needs it: held refreshes are many at a time, and wait for no turn."""
    more = {"auth_type: oauth2": "auth_type: oauth2\nlimits: {concurrency: 500}"}
    if server is Server.GRACE:
        more["client_auth: basic"] = f"client_auth: basic\n  reuse_grace_seconds: {server.grace_seconds}"
    return write_catalog(folder, sandbox, **more)


async def _tenant(made: Services) -> Scope:
    """An organization with its client at the sandbox."""
    now, tenants = utc_now(), Tenants(made.database)
    scope = Scope(await tenants.add_organization("Acme", now), Environment.TEST)
    application_id = await tenants.enable_application(scope, "sandbox", {"client_id": CLIENT.client_id}, now)
    secret = str(CLIENT.client_secret).encode()
    sealed = await made.vault.seal(scope, Kind.CLIENT_SECRET, application_id, secret)
    await tenants.enable_application(scope, "sandbox", {"client_secret": sealed}, now)
    return scope
