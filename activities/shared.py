"""What the activities share: the store, the vault, the catalog, one HTTP client, the clock."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial

import httpx
from temporalio.client import Client as TemporalClient
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError

from activities.limits import Limiter
from activities.starting import start_delivery
from activities.turns import Turns
from everlink.contract import ConnectionRef, Verdict
from providers.catalog import Catalog
from providers.credential import Credential, OAuthCredential, from_bytes, to_bytes
from providers.entry import CatalogEntry, OAuth2
from providers.guard import TargetGuard
from providers.http import make_client
from providers.oauth2 import Client, customers_client
from providers.revocation import Receipt, end_grant
from store.alarms import Alarms
from store.connections import Connections
from store.credentials import Credentials, StoredClient
from store.custom_headers import open_headers
from store.database import Clock, Database, utc_now
from store.deliveries import Deliveries
from store.outbox import Announced
from store.own_applications import OwnApplications
from store.reminders import Reminders
from store.scope import Scope
from store.settings import Settings
from store.shielding import Shielded
from store.strays import announced_deliveries
from store.tenants import Tenants
from store.vault import Kind, MasterKeys, Vault
from store.webhooks import Webhooks

DELETED = "the provider says that the application's own client does not exist any more"

log = logging.getLogger("everlink.application")


@dataclass
class Shared:
    """Made once for each worker process."""

    database: Database
    vault: Vault
    catalog: Catalog
    http: httpx.AsyncClient
    public_url: str
    clock: Clock = utc_now
    temporal: TemporalClient | None = None  # set when the worker has connected
    limiter: Limiter = field(default_factory=Limiter)
    turns: Turns = field(default_factory=Turns)
    shielded: Shielded = field(default_factory=Shielded)

    def __post_init__(self) -> None:
        self.credentials = Credentials(self.database)
        self.connections = Connections(self.database)
        self.tenants = Tenants(self.database)
        self.reminders = Reminders(self.database)
        self.webhooks = Webhooks(self.database)
        self.deliveries = Deliveries(self.database)
        self._alarms = Alarms(self.database)
        self._own_applications = OwnApplications(self.database)

    async def open(self, ref: ConnectionRef, sealed: bytes) -> Credential:
        secret = await self.vault.open(Scope.of(ref), Kind.CREDENTIAL, ref.connection_id, sealed)
        return from_bytes(secret)

    async def seal(self, ref: ConnectionRef, credential: Credential, like: bytes | None = None) -> bytes:
        """Seal a credential, in place of the one that is sealed in `like`."""
        secret = to_bytes(credential)
        return await self.vault.seal(Scope.of(ref), Kind.CREDENTIAL, ref.connection_id, secret, like=like)

    async def client_of(self, ref: ConnectionRef) -> tuple[StoredClient, Client] | None:
        """The organization's client at the provider, its secret opened."""
        return await self.opened_client(ref, await self.credentials.read_client(Scope.of(ref), ref.slug))

    async def opened_client(
        self, ref: ConnectionRef, stored: StoredClient | None
    ) -> tuple[StoredClient, Client] | None:
        """A client that was read, its secret opened."""
        if stored is None or stored.client_id is None:
            return None
        secret = None
        if stored.client_secret is not None:
            owner = stored.application_id
            opened = await self.vault.open(Scope.of(ref), Kind.CLIENT_SECRET, owner, stored.client_secret)
            secret = opened.decode()
        return stored, Client(stored.client_id, secret)

    async def former_client(self, ref: ConnectionRef, client: tuple[StoredClient, Client]) -> Client | None:
        """The same client with the secret that was there before, for as long as it may be tried."""
        stored, scope = client[0], Scope.of(ref)
        sealed = await self.credentials.former_secret(scope, stored.application_id, stored.client_secret, self.clock())
        if sealed is None:
            return None
        opened = await self.vault.open(scope, Kind.CLIENT_SECRET, stored.application_id, sealed)
        return Client(client[1].client_id, opened.decode())

    async def clients(self, ref: ConnectionRef, oauth2: OAuth2, credential: OAuthCredential) -> list[Client]:
        """What may be shown to the provider for this credential, the present one first; none, where there is none.

        Raises:
            CannotFill: it is the customer's own, and not there.
        """
        if oauth2.asks_with_customers_client:
            return [customers_client(credential.given)]
        client = await self.client_of(ref)
        if client is None:
            return []
        former = await self.former_client(ref, client)
        return [client[1]] if former is None else [client[1], former]

    async def end_grant(
        self, ref: ConnectionRef, oauth2: OAuth2, clients: list[Client], credential: OAuthCredential, *, uninstall: bool
    ) -> Receipt:
        """End the grant of a connection that has ended, unless that would end another one's."""
        shared = oauth2.revokes_account and not uninstall
        if shared and await self.connections.has_account(Scope.of(ref), ref.slug, ref.identifier):
            return Receipt(Verdict.UNSUPPORTED, "not revoked: another connection lives on the same account")
        return await end_grant(self.http, oauth2, clients, credential, uninstall=uninstall)

    async def custom_headers(
        self, scope: Scope, endpoint_id: str, sealed_headers: bytes | None, headers: dict[str, str]
    ) -> dict[str, str]:
        """A webhook endpoint's own headers, opened; `headers` are those of a row that was never sealed."""
        return await open_headers(self.vault, scope, endpoint_id, sealed_headers, headers)

    async def alarm(self, ref: ConnectionRef, words: str | None) -> None:
        """The provider refuses the application's client, or with None accepts it again: said once for all."""
        announced = await self._alarms.change(Scope.of(ref), ref.slug, words, self.clock())
        if announced is not None:
            event = announced.event.type
            log.warning("%s: %s in the %s environment of %s", event, ref.slug, ref.environment, ref.org_id)
            with suppress(RPCError):  # upkeep does it
                await self.start_deliveries(Scope.of(ref), announced)

    async def start_deliveries(self, scope: Scope, announced: Announced) -> None:
        """Set an event on its way to each endpoint that it is due at. Idempotent."""
        for delivery in announced_deliveries(scope, announced):
            assert self.temporal is not None
            await start_delivery(self.temporal, delivery)

    async def find_entry(self, scope: Scope, slug: str) -> CatalogEntry | None:
        """What is known of an application; None where nothing is."""
        return await self.catalog.find(slug, partial(self._own_applications.definition, scope))

    async def entry(self, ref: ConnectionRef) -> CatalogEntry:
        """The same of a connection's application.

        Raises:
            ApplicationError: `UnknownApplication`.
        """
        entry = await self.find_entry(Scope.of(ref), ref.slug)
        if entry is None:
            raise ApplicationError("this worker's catalog lacks the application", type="UnknownApplication")
        return entry


@asynccontextmanager
async def open_shared(settings: Settings) -> AsyncIterator[Shared]:
    """Everything that the settings name, closed at the end after shielded work has finished.

    Raises:
        MasterKeyMissing: no master key is set, and this is not development.
        CatalogError: a catalog file is not valid.
    """
    master_keys = MasterKeys.from_settings(settings)
    catalog = Catalog.load(settings.catalog_dir)
    database = Database(settings.database_url.get_secret_value())
    guard = TargetGuard(settings.allowed_targets.split())
    async with make_client(guard) as http:
        shared = Shared(database, Vault(database, master_keys), catalog, http, settings.public_url)
        try:
            yield shared
        finally:
            await shared.shielded.finish()
            await database.close()
