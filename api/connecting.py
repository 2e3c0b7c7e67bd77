"""Takes a customer through connecting: by OAuth 2 in a browser, or with the fields of a key."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from api.errors import ApiError
from api.lifecycle import UNIDENTIFIED, Grant, Target, establish
from api.services import Services
from everlink.contract import AuthType, ConnectionView, Verdict
from providers.credential import Credential, KeyCredential
from providers.entry import CatalogEntry, OAuth2
from providers.http import RequestFailed
from providers.identity import Whose, identify
from providers.oauth2 import Client, authorize_url, exchange_code, new_verifier
from providers.probe import probe
from providers.verdict import TokenVerdict, judge_token_answer
from store.scope import Scope
from store.tickets import Ticket
from store.vault import Kind

NOBODY = Whose(UNIDENTIFIED)
BUSY = "This service is busy. Please try again in a minute."


class ConnectFailed(Exception):
    """Connecting did not work; the text is for the customer."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status = status


@dataclass(frozen=True)
class Callback:
    """What the browser brought back from the provider (RFC 6749 section 4.1.2, RFC 9207)."""

    state: str | None
    code: str | None
    error: str | None
    issuer: str | None


async def start_link(
    made: Services, scope: Scope, account_id: str, entry: CatalogEntry, connection_id: str | None = None
) -> str:
    """A link for the customer's browser, good once and for a quarter of an hour."""
    await oauth_client(made, scope, entry)
    secret = await made.tickets.issue(scope, account_id, entry.slug, connection_id, made.clock())
    return f"{made.settings.public_url}/connect/start/{secret}"


@dataclass(frozen=True)
class OurClient:
    """How to speak with a provider on behalf of a tenant."""

    oauth2: OAuth2
    client: Client
    former: Client | None  # with the secret before, while that lives
    scopes: tuple[str, ...]


async def oauth_client(made: Services, scope: Scope, entry: CatalogEntry) -> OurClient:
    """The tenant's client at a provider, its secrets opened.

    Raises:
        ApiError: the application is not enabled, or does not connect by OAuth 2.
    """
    application = await made.tenants.application(scope, entry.slug)
    if entry.oauth2 is None:
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


async def depart(made: Services, ticket: Ticket, browser: str) -> str:
    """The provider's consent page for this browser, with a state that only it can bring back."""
    entry = await _entry(made, ticket.scope, ticket.slug)
    ours = await oauth_client(made, ticket.scope, entry)
    state, verifier = secrets.token_urlsafe(32), new_verifier()
    sealed = await made.vault.seal(ticket.scope, Kind.PKCE_VERIFIER, ticket.id, verifier.encode())
    await made.tickets.depart(ticket, state, browser, sealed, made.clock())
    return authorize_url(
        ours.oauth2,
        ours.client,
        redirect_uri=redirect_uri(made, entry.slug),
        state=state,
        verifier=verifier,
        scopes=ours.scopes,
    )


async def arrive(made: Services, slug: str, browser: str | None, callback: Callback) -> ConnectionView | None:
    """The browser is back from the provider: trade the code, learn whose account it is, keep the grant.

    None where the link has done its work in another tab: it connects once.

    Raises:
        ConnectFailed: it did not work; nothing is connected that was not before.
    """
    if not callback.state or not browser:
        raise ConnectFailed(400, "This link was opened in another browser, or it is not complete.")
    visit = await made.tickets.arrive(callback.state, browser, slug, made.clock())
    if visit is None:
        raise ConnectFailed(400, "This link has expired or was used before. Please start again.")
    ticket = visit.ticket
    if ticket.used:
        return None
    entry = await _entry(made, ticket.scope, slug)
    ours = await oauth_client(made, ticket.scope, entry)
    _check_issuer(ours.oauth2, callback)
    if callback.error is not None:
        raise ConnectFailed(400, _denied_words(entry, callback.error))
    if not callback.code:
        raise ConnectFailed(400, f"{entry.name} sent no code. Please start again.")
    verifier = await made.vault.open(ticket.scope, Kind.PKCE_VERIFIER, ticket.id, visit.sealed_verifier)
    try:
        verdict = await _exchange(made, slug, ours, callback.code, verifier.decode())
    except RequestFailed:
        raise ConnectFailed(502, f"{entry.name} cannot be reached right now. Please try again later.") from None
    if verdict.credential is None:
        raise ConnectFailed(502, f"{entry.name} did not accept the connection. Please start again.")
    whose = await _identify(made, entry, verdict.credential)
    ends_in = ours.oauth2.grant_seconds if verdict.ends_in is None else verdict.ends_in
    grant = Grant(
        credential=verdict.credential,
        renewable=verdict.credential.refresh_token is not None,
        expires_in=verdict.expires_in,
        identifier=whose.id,
        display_name=whose.name,
        ends_at=None if ends_in is None else made.clock() + timedelta(seconds=ends_in),
    )
    try:
        target = Target(ticket.scope, ticket.linked_account_id, ticket.connection_id)
        view = await establish(made, target, entry, grant)
    except ApiError as error:
        words = BUSY if error.status == 503 else f"{error.message.capitalize()}."
        raise ConnectFailed(error.status, words) from None
    await made.tickets.use(ticket, made.clock())
    return view


async def _exchange(made: Services, slug: str, ours: OurClient, code: str, verifier: str) -> TokenVerdict:
    """Trade a code for tokens; once more with the secret before, where the provider refuses the present one.

    A client that is refused has not used the code (RFC 6749 section 5.2).
    """

    async def trade(client: Client) -> TokenVerdict:
        uri = redirect_uri(made, slug)
        answer = await exchange_code(made.http, ours.oauth2, client, code=code, redirect_uri=uri, verifier=verifier)
        return judge_token_answer(answer, ours.oauth2, None)

    verdict = await trade(ours.client)
    if verdict.verdict is Verdict.APPLICATION_ERROR and ours.former is not None:
        verdict = await trade(ours.former)
    return verdict


async def save_key(
    made: Services,
    scope: Scope,
    account_id: str,
    entry: CatalogEntry,
    fields: dict[str, str],
    ends_at: datetime | None = None,
) -> ConnectionView:
    """Keep a key, after the provider accepted it; `ends_at` is its end, where one is known.

    Raises:
        ApiError: 422 `credentials_refused`, `invalid_fields` or `already_expired`, and nothing is stored; 502 where
            nobody answers.
    """
    if ends_at is not None and ends_at <= made.clock():
        raise ApiError(422, "already_expired", "the key has ended already")
    if entry.auth_type is not AuthType.KEY_BASED:
        raise ApiError(400, "not_keybased", "this application does not connect by a key")
    if await made.tenants.application(scope, entry.slug) is None:
        raise ApiError(400, "application_not_configured", "the application is not enabled here")
    credential = KeyCredential(fields=_complete(entry, fields))
    whose = await _identify(made, entry, credential)
    grant = Grant(credential, False, None, whose.id, whose.name, ends_at)
    return await establish(made, Target(scope, account_id), entry, grant)


def redirect_uri(made: Services, slug: str) -> str:
    return f"{made.settings.public_url}/api/v1/{slug}/callback"


async def _entry(made: Services, scope: Scope, slug: str) -> CatalogEntry:
    entry = await made.entry(scope, slug)
    if entry is None:
        raise ConnectFailed(404, "There is no such application.")
    return entry


def _check_issuer(oauth2: OAuth2, callback: Callback) -> None:
    """RFC 9207: an answer of another server must not pass for this one's. Some servers omit it on errors."""
    if oauth2.issuer is None:
        return
    missing_on_error = callback.issuer is None and callback.error is not None
    if callback.issuer != oauth2.issuer and not missing_on_error:
        raise ConnectFailed(400, "The answer did not come from the expected server. Please start again.")


def _denied_words(entry: CatalogEntry, error: str) -> str:
    if error == "access_denied":
        return f"Access to {entry.name} was not granted. Nothing has been connected."
    return f"{entry.name} could not complete the connection. Please try again later."


def _complete(entry: CatalogEntry, fields: dict[str, str]) -> dict[str, str]:
    missing = [field.name for field in entry.fields if field.required and not fields.get(field.name)]
    unknown = sorted(set(fields) - {field.name for field in entry.fields})
    given = {field: fields[field.name] for field in entry.fields if fields.get(field.name)}
    wrong = sorted(field.name for field, value in given.items() if not field.takes(value))
    if missing or unknown or wrong:
        words = "fields are missing, unknown or none of their options"
        raise ApiError(422, "invalid_fields", words, missing=missing, unknown=unknown, wrong=wrong)
    return fields


async def _identify(made: Services, entry: CatalogEntry, credential: Credential) -> Whose:
    """Whose account the credential opens, which also proves that it works."""
    if entry.probe is None:
        return NOBODY
    verdict = await probe(made.http, entry.probe, credential)
    whose = identify(entry.identity, credential, verdict.said) if entry.identity is not None else NOBODY
    if verdict.verdict is Verdict.OK and whose is not None:
        return whose
    if isinstance(credential, KeyCredential) and verdict.verdict is Verdict.DEAD:
        raise ApiError(422, "credentials_refused", "the provider does not accept these credentials")
    if isinstance(credential, KeyCredential):
        raise ApiError(502, "provider_unreachable", "the provider could not check these credentials")
    raise ConnectFailed(502, f"{entry.name} did not say whose account this is. Please try again later.")
