"""What the handlers share: the stores, the vault, the catalog, clients. Made once for each API process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from urllib.parse import urlsplit
from weakref import WeakValueDictionary

import httpx
from fastapi import Request
from temporalio.client import Client as TemporalClient

from api.codec_server import CodecServer
from api.limits import RateLimits
from api.links import Links
from api.waiting import Waiting
from everlink.contract import ConnectionView, InboxTask, connection_workflow_id
from providers.catalog import Catalog
from providers.entry import CatalogEntry
from providers.guard import TargetGuard
from providers.http import make_client
from providers.inbound.keysets import KeySets
from store.answers import Answers
from store.api_keys import ApiKeys
from store.codec import client_plugin
from store.connect_sessions import ConnectSessions
from store.connections import Connections, CredentialRead
from store.console_sessions import ConsoleSessions
from store.credentials import Credentials
from store.database import Clock, Database, utc_now
from store.delivery_log import DeliveryLog
from store.events import Events
from store.inbox import Inbox
from store.own_applications import OwnApplications
from store.recent import Recent
from store.reminders import Reminders
from store.removals import Removals
from store.replays import Replays
from store.scope import Scope
from store.sessions import Sessions
from store.settings import Settings
from store.shielding import Shielded
from store.tenants import Tenants
from store.tickets import Tickets
from store.vault import MasterKeys, Vault
from store.webhooks import Webhooks


@dataclass
class Services:
    settings: Settings
    database: Database
    vault: Vault
    catalog: Catalog
    guard: TargetGuard
    http: httpx.AsyncClient
    temporal: TemporalClient
    clock: Clock = utc_now
    refreshing: dict[str, asyncio.Task[ConnectionView]] = field(default_factory=dict)
    shielded: Shielded = field(default_factory=Shielded)
    waking: dict[InboxTask, asyncio.Task[None]] = field(default_factory=dict)  # signals on their way
    to_wake: set[InboxTask] = field(default_factory=set)
    taking_over: WeakValueDictionary[tuple[Scope, str], asyncio.Lock] = field(default_factory=WeakValueDictionary)

    def __post_init__(self) -> None:
        seconds = self.settings.read_cache_seconds
        self.recent = Recent[CredentialRead](seconds)
        self.links = Links()
        self.tenants = Tenants(self.database)
        self.api_keys = ApiKeys(self.database, Recent(seconds))
        self.connections = Connections(self.database)
        self.waiting = Waiting(self.connections.standings)
        self.credentials = Credentials(self.database)
        self.tickets = Tickets(self.database)
        self.waiting_for_attempts = Waiting(self.tickets.attempts)
        self.webhooks = Webhooks(self.database)
        self.delivery_log = DeliveryLog(self.database)
        self.events = Events(self.database)
        self.replays = Replays(self.database)
        self.connect_sessions = ConnectSessions(self.database)
        self.console_sessions = ConsoleSessions(self.database)
        self.answers = Answers(self.database)
        self.codec_server = CodecServer.from_settings(self.settings)
        self.limits = RateLimits(self.settings)
        self.sessions = Sessions(self.database, self.vault)
        self.reminders = Reminders(self.database)
        self.removals = Removals(self.database)
        self.inbox = Inbox(self.database)
        self.key_sets = KeySets(self.http)
        self.own_applications = OwnApplications(self.database)

    async def entry(self, scope: Scope, slug: str) -> CatalogEntry | None:
        """What is known of an application; None where nothing is."""
        return await self.catalog.find(slug, partial(self.own_applications.definition, scope))

    @property
    def origin(self) -> str:
        """Ours, as a browser says it of a form that a page of ours sends."""
        address = urlsplit(self.settings.public_url)
        return f"{address.scheme}://{address.netloc}"

    def workflow_url(self, connection_id: str) -> str:
        """Where a connection's workflow is in Temporal's Web UI."""
        page = f"{self.settings.web_ui_url}/namespaces/{self.settings.temporal_namespace}/workflows"
        return f"{page}/{connection_workflow_id(connection_id).replace('/', '%2F')}"


@asynccontextmanager
async def open_services(settings: Settings) -> AsyncIterator[Services]:
    """Everything that the settings name. Temporal is connected at the first use, so that reads work without it.

    Raises:
        MasterKeyMissing: no master key is set, and this is not development.
        KeyInvalid: what a setting holds is not a key.
        CatalogError: a catalog file is not valid.
    """
    master_keys = MasterKeys.from_settings(settings)
    database = Database(settings.database_url.get_secret_value())
    guard = TargetGuard(settings.allowed_targets.split())
    temporal = await TemporalClient.connect(
        settings.temporal_address,
        namespace=settings.temporal_namespace,
        plugins=[client_plugin(settings)],
        lazy=True,
    )
    async with make_client(guard) as http:
        vault = Vault(database, master_keys)
        made = Services(settings, database, vault, Catalog.load(settings.catalog_dir), guard, http, temporal)
        yield made
        await made.waiting.close()
        await made.waiting_for_attempts.close()
        await made.shielded.finish()
    await database.close()


async def services(request: Request) -> Services:
    """The dependency that hands them to a handler."""
    made: Services = request.app.state.services
    return made
