"""Takes a customer through connecting by OAuth 2 in a browser. Keys are saved in `api/keys.py`."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from api.errors import ApiError
from api.fields import complete
from api.lifecycle import NOBODY, Grant, Target, establish
from api.our_client import OurClient, oauth_client
from api.services import Services
from everlink.contract import ConnectionView, Verdict
from providers.credential import OAuthCredential, bounded
from providers.entry import CatalogEntry, OAuth2
from providers.http import RequestFailed
from providers.identity import Whose, identify
from providers.oauth2 import NOTHING, Client, authorize_url, exchange_code, new_verifier
from providers.probe import ask
from providers.revocation import end_grant
from providers.templates import CannotFill
from providers.verdict import TokenVerdict, judge_token_answer
from store.scope import Scope
from store.tickets import Ticket, new_ticket_id
from store.vault import Kind

BUSY = "This service is busy. Please try again in a minute."


class ConnectFailed(Exception):
    """Connecting did not work; the text is for the customer."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status = status


CHANGED = ConnectFailed(409, "The application has changed meanwhile. Please start again.")


@dataclass(frozen=True)
class Callback:
    """What the browser brought back from the provider (RFC 6749 section 4.1.2, RFC 9207)."""

    state: str | None
    code: str | None
    error: str | None
    issuer: str | None
    more: dict[str, str] = field(default_factory=dict)  # what no standard knows


@dataclass(frozen=True)
class Reconnect:
    """The connection that a link mends, and whether another account may take the place of the one before."""

    connection_id: str
    switch_account: bool = False


async def start_link(
    made: Services,
    scope: Scope,
    account_id: str,
    entry: CatalogEntry,
    fields: Mapping[str, str] = NOTHING,
    reconnect: Reconnect | None = None,
) -> str:
    """A link for the customer's browser, good once and for a quarter of an hour.

    `fields` are what the application asks before consent; a reconnect has those of before.

    Raises:
        ApiError: 422 `invalid_fields`; 400 where the application is not set up, or does not connect by OAuth 2.
    """
    await oauth_client(made, scope, entry)
    before: dict[str, str] = {}
    if entry.fields and reconnect is not None:
        known = {field.name for field in entry.fields}
        before = await _given_before(made, scope, reconnect.connection_id)
        before = {name: value for name, value in before.items() if name in known}
    given, ticket_id = complete(entry, {**before, **fields}), new_ticket_id()
    ticket = Ticket(
        id=ticket_id,
        scope=scope,
        linked_account_id=account_id,
        slug=entry.slug,
        connection_id=reconnect.connection_id if reconnect else None,
        switch_account=reconnect is not None and reconnect.switch_account,
        given=await _sealed(made, scope, ticket_id, given),
    )
    secret = await made.tickets.issue(ticket, made.clock())
    return f"{made.settings.public_url}/connect/start/{secret}"


async def depart(made: Services, ticket: Ticket, browser: str) -> str:
    """The provider's consent page for this browser, with a state that only it can bring back.

    Raises:
        ConnectFailed: the application is not there any more, or asks by now for fields that the link does not have.
        ApiError: 400 where it is not set up.
    """
    entry = await _entry(made, ticket.scope, ticket.slug)
    ours = await oauth_client(made, ticket.scope, entry)
    state, verifier = secrets.token_urlsafe(32), new_verifier()
    try:
        url = authorize_url(
            ours.oauth2,
            ours.client,
            redirect_uri=redirect_uri(made, entry.slug),
            state=state,
            verifier=verifier,
            scopes=ours.scopes,
            given=await _given(made, ticket),
        )
    except CannotFill:
        raise CHANGED from None
    sealed = await made.vault.seal(ticket.scope, Kind.PKCE_VERIFIER, ticket.id, verifier.encode())
    await made.tickets.depart(ticket, state, browser, sealed, made.clock())
    return url


async def arrive(made: Services, slug: str, browser: str | None, callback: Callback) -> ConnectionView | None:
    """The browser is back from the provider: trade the code, learn whose account it is, keep the grant.

    None where the link has done its work in another tab: it connects once.

    Raises:
        ConnectFailed: it did not work; nothing is connected that was not before.
        ApiError: 400, the same, where the application is not set up any more.
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
    given = await _given(made, ticket)
    try:
        verdict = await _exchange(made, slug, ours, callback.code, verifier.decode(), given)
    except CannotFill:
        raise CHANGED from None
    except RequestFailed:
        raise ConnectFailed(502, f"{entry.name} cannot be reached right now. Please try again later.") from None
    if verdict.credential is None:
        raise ConnectFailed(502, f"{entry.name} did not accept the connection. Please start again.")
    credential = _with(verdict.credential, given, callback.more)
    whose = await _identify(made, entry, ours, credential)
    ends_in = ours.oauth2.grant_seconds if verdict.ends_in is None else verdict.ends_in
    grant = Grant(
        credential=credential,
        renewable=credential.refresh_token is not None,
        expires_in=verdict.expires_in,
        whose=whose,
        ends_at=None if ends_in is None else made.clock() + timedelta(seconds=ends_in),
    )
    try:
        target = Target(ticket.scope, ticket.linked_account_id, ticket.connection_id, ticket.switch_account)
        view = await establish(made, target, entry, grant)
    except ApiError as error:
        if error.status == 409:
            await _give_back(made, ticket, ours, grant)
        words = BUSY if error.status == 503 else f"{error.message.capitalize()}."
        raise ConnectFailed(error.status, words) from None
    await made.tickets.use(ticket, made.clock())
    return view


async def _give_back(made: Services, ticket: Ticket, ours: OurClient, grant: Grant) -> None:
    """A grant that is not kept is revoked, where that cannot end the one of another connection of the same account."""
    assert isinstance(grant.credential, OAuthCredential)
    known = bool(grant.whose.keys)
    if known and not await made.connections.has_account(ticket.scope, ticket.slug, grant.whose.id):
        await end_grant(made.http, ours.oauth2, ours.clients, grant.credential)


def _with(credential: OAuthCredential, given: dict[str, str], more: dict[str, str]) -> OAuthCredential:
    """The credential, with what the customer gave before consent and what the provider said on the way back."""
    extra = bounded({**credential.extra, "callback": more}) if more else credential.extra
    return credential.model_copy(update={"given": given, "extra": extra})


async def _exchange(
    made: Services, slug: str, ours: OurClient, code: str, verifier: str, given: dict[str, str]
) -> TokenVerdict:
    uri = redirect_uri(made, slug)

    async def trade(client: Client) -> TokenVerdict:
        answer = await exchange_code(
            made.http, ours.oauth2, client, code=code, redirect_uri=uri, verifier=verifier, given=given
        )
        return judge_token_answer(answer, ours.oauth2, None)

    return await ours.ask(trade)


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


async def _identify(made: Services, entry: CatalogEntry, ours: OurClient, credential: OAuthCredential) -> Whose:
    """Whose account the credential opens; where the provider can be asked, it also proves that it works."""
    answer = await ask(made.http, entry, credential, ours.client)
    whose = identify(entry.identity, credential, answer.said if answer else None) if entry.identity else NOBODY
    if whose is None or (answer is not None and answer.verdict is not Verdict.OK):
        raise ConnectFailed(502, f"{entry.name} did not say whose account this is. Please try again later.")
    return whose


async def _sealed(made: Services, scope: Scope, ticket_id: str, given: dict[str, str]) -> bytes | None:
    if not given:
        return None
    return await made.vault.seal(scope, Kind.GIVEN_FIELDS, ticket_id, json.dumps(given).encode())


async def _given(made: Services, ticket: Ticket) -> dict[str, str]:
    if ticket.given is None:
        return {}
    opened = await made.vault.open(ticket.scope, Kind.GIVEN_FIELDS, ticket.id, ticket.given)
    given: dict[str, str] = json.loads(opened)
    return given


async def _given_before(made: Services, scope: Scope, connection_id: str) -> dict[str, str]:
    """The fields of the credential that is there."""
    stored = await made.credentials.read(scope, connection_id)
    if stored is None:
        return {}
    opened = await made.vault.open(scope, Kind.CREDENTIAL, connection_id, stored.sealed)
    return OAuthCredential.model_validate_json(opened).given
