"""The tenant's own client at a provider, and the secrets of an application, opened."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from api.errors import ApiError
from api.services import Services
from everlink.contract import AuthType, Verdict
from providers.entry import CatalogEntry, OAuth2
from providers.oauth2 import Client
from providers.verdict import TokenVerdict
from store.scope import Scope
from store.tables import Application
from store.tenants import CLIENT_SECRET, ApplicationSecret


@dataclass(frozen=True)
class OurClient:
    """How to speak with a provider on behalf of a tenant."""

    oauth2: OAuth2
    clients: tuple[Client, ...]  # the present one; then with the secret before, while that lives
    scopes: tuple[str, ...]
    required_scopes: tuple[str, ...]  # without which a grant is not kept

    @property
    def client(self) -> Client:
        return self.clients[0]

    async def ask(self, request: Callable[[Client], Awaitable[TokenVerdict]]) -> TokenVerdict:
        """What a token request means; where the provider refuses the present client, that with the secret before asks.

        A client that is refused has used up neither code nor grant (RFC 6749 section 5.2).
        """
        verdict = await request(self.client)
        for former in self.clients[1:]:
            if verdict.verdict is Verdict.APPLICATION_ERROR:
                verdict = await request(former)
        return verdict


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
    known: tuple[str | None, ...] = await opened(made, application, CLIENT_SECRET) or (None,)
    return OurClient(
        oauth2=entry.oauth2,
        clients=tuple(Client(application.client_id, secret) for secret in known),
        scopes=tuple(application.scopes) or entry.oauth2.scopes,
        required_scopes=tuple(application.required_scopes),
    )


async def opened(made: Services, row: Application, secret: ApplicationSecret) -> tuple[str, ...]:
    """A secret of an application; after it the one that it replaced, while that may be tried."""
    scope, living = Scope(row.org_id, row.environment), secret.living(row, made.clock())
    return tuple([(await made.vault.open(scope, secret.kind, row.id, sealed)).decode() for sealed in living])
