"""The tenant's own client at a provider, its secrets opened."""

from __future__ import annotations

from dataclasses import dataclass

from api.errors import ApiError
from api.services import Services
from everlink.contract import AuthType
from providers.entry import CatalogEntry, OAuth2
from providers.oauth2 import Client
from store.scope import Scope
from store.vault import Kind


@dataclass(frozen=True)
class OurClient:
    """How to speak with a provider on behalf of a tenant."""

    oauth2: OAuth2
    client: Client
    former: Client | None  # with the secret before, while that lives
    scopes: tuple[str, ...]


async def oauth_client(made: Services, scope: Scope, entry: CatalogEntry) -> OurClient:
    """The tenant's client at a provider that asks for consent.

    Raises:
        ApiError: the application is not enabled, or does not connect by OAuth 2.
    """
    application = await made.tenants.application(scope, entry.slug)
    if entry.oauth2 is None or entry.auth_type is not AuthType.OAUTH2:
        raise ApiError(400, "not_oauth2", "this application does not connect by OAuth 2")
    if application is None or application.client_id is None:
        raise ApiError(400, "application_not_configured", "the application has no client id here")

    client_id, owner = application.client_id, application.id

    async def client(sealed: bytes | None) -> Client:
        opened = None if sealed is None else await made.vault.open(scope, Kind.CLIENT_SECRET, owner, sealed)
        return Client(client_id, None if opened is None else opened.decode())

    until = application.previous_until
    former = application.previous_client_secret is not None and until is not None and until > made.clock()
    return OurClient(
        oauth2=entry.oauth2,
        client=await client(application.client_secret),
        former=await client(application.previous_client_secret) if former else None,
        scopes=tuple(application.scopes) or entry.oauth2.scopes,
    )
