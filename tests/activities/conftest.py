"""The real activities on a real store, with a token endpoint that answers as a test says."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from temporalio.testing import ActivityEnvironment

from activities.limits import Limiter
from activities.refresh import RefreshActivities
from activities.shared import Shared
from everlink.contract import AuthType, CredentialOutcome, CredentialTask, Environment
from providers.catalog import Catalog
from providers.credential import OAuthCredential
from providers.entry import CatalogEntry, OAuth2
from providers.guard import TargetGuard
from providers.http import make_client
from store.connections import connection_ref
from store.database import Database, utc_now
from store.scope import Scope
from store.tenants import Tenants
from store.vault import Kind, MasterKeys, Vault, new_master_key

FIRST = OAuthCredential(access_token="access-1", refresh_token="refresh-1", extra={"instance_url": "https://a.example"})


@dataclass
class Endpoint:
    """A token endpoint: raw HTTP, so that it can also misbehave."""

    url: str = ""
    requests: list[str] = field(default_factory=list)
    heads: list[list[str]] = field(default_factory=list)
    answer: Callable[[], bytes | None] = lambda: None  # None: cuts the connection after reading the request
    gate: asyncio.Event | None = None
    seconds: float = 0.0  # that an answer takes
    at_once: int = 0
    most_at_once: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[1:]
        length = next((int(line.split(":")[1]) for line in lines if line.lower().startswith("content-length")), 0)
        self.heads.append(lines)
        self.requests.append((await reader.readexactly(length)).decode())
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        if self.gate is not None:
            await self.gate.wait()
        await asyncio.sleep(self.seconds)
        self.at_once -= 1
        answer = self.answer()
        if answer is not None:
            writer.write(answer)
            await writer.drain()
        writer.close()

    def says(self, status: int, body: Any, **headers: str) -> None:
        text = body if isinstance(body, bytes) else json.dumps(body).encode()
        extra = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
        head = f"HTTP/1.1 {status} X\r\ncontent-length: {len(text)}\r\nconnection: close\r\n{extra}\r\n"
        self.answer = lambda: head.encode() + text

    def grants(self, number: int = 2, **more: Any) -> None:
        self.says(200, {"access_token": f"access-{number}", "refresh_token": f"refresh-{number}", **more})


@dataclass
class Refreshing:
    """One connection, its store and its provider."""

    shared: Shared
    endpoint: Endpoint
    scope: Scope
    task: CredentialTask

    async def refresh(self, generation: int = 1) -> CredentialOutcome:
        """One try as a normal activity; a transient failure is raised."""
        activity = RefreshActivities(self.shared).refresh
        task = self.task.model_copy(update={"generation": generation})
        outcome: CredentialOutcome = await ActivityEnvironment().run(activity, task)
        return outcome

    async def kept(self) -> tuple[int, OAuthCredential]:
        stored = await self.shared.credentials.read(self.scope, self.task.ref.connection_id)
        assert stored is not None
        credential = await self.shared.open(self.task.ref, stored.sealed)
        assert isinstance(credential, OAuthCredential)
        return stored.generation, credential

    def calm(self) -> None:
        """Time has passed: the application is asked again."""
        self.shared.limiter = Limiter()

    async def change_client(self) -> None:
        """The organization corrects its client."""
        tenants, now = Tenants(self.shared.database), utc_now()
        application = await tenants.enable_application(self.scope, "test", {}, now)
        sealed = await self.shared.vault.seal(self.scope, Kind.CLIENT_SECRET, application, b"corrected")
        await tenants.enable_application(self.scope, "test", {"client_secret": sealed}, now)

    async def reconnect(self) -> int:
        sealed = await self.shared.seal(self.task.ref, FIRST.model_copy(update={"access_token": "reconnected"}))
        return await self.shared.credentials.grant(
            self.scope, self.task.ref.connection_id, sealed, renewable=True, expires_at=None, now=utc_now()
        )


@pytest.fixture
async def endpoint() -> AsyncIterator[Endpoint]:
    made = Endpoint()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/token"
    yield made
    server.close()


@pytest.fixture
async def refreshing(database: Database, endpoint: Endpoint) -> AsyncIterator[Refreshing]:
    entry = CatalogEntry(
        slug="test",
        name="Test",
        description="",
        icon="",
        auth_type=AuthType.OAUTH2,
        oauth2=OAuth2(authorize_url="http://127.0.0.1/", token_url=endpoint.url),
    )
    tenants, now = Tenants(database), utc_now()
    scope = Scope(await tenants.add_organization("Acme", now), Environment.TEST)
    await tenants.save_linked_account(scope, "acme", {}, now)
    async with make_client(TargetGuard(["127.0.0.1"])) as http:
        vault = Vault(database, MasterKeys(new_master_key()))
        shared = Shared(database, vault, Catalog([entry]), http, "http://127.0.0.1:8080")
        application = await tenants.enable_application(scope, "test", {"client_id": "me"}, now)
        secret = await vault.seal(scope, Kind.CLIENT_SECRET, application, b"client-secret")
        await tenants.enable_application(scope, "test", {"client_secret": secret}, now)
        row = await shared.connections.find_or_create(
            scope,
            linked_account_id="acme",
            slug="test",
            identifier="ada",
            display_name=None,
            auth_type=AuthType.OAUTH2,
            now=now,
        )
        ref = connection_ref(row)
        await shared.credentials.grant(
            scope, row.id, await shared.seal(ref, FIRST), renewable=True, expires_at=None, now=now
        )
        yield Refreshing(shared, endpoint, scope, CredentialTask(ref=ref, generation=1))
        await shared.shielded.finish()
