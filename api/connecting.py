"""The way of a customer's browser to a provider; `api/arriving.py` is the way back. Keys are saved in `api/keys.py`."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from api.errors import ApiError, not_found
from api.fields import complete
from api.lifecycle import find
from api.our_client import OurClient, oauth_client
from api.services import Services
from api.trouble import Trouble
from everlink import models
from everlink.contract import ConnectionStatus
from providers.credential import OAuthCredential
from providers.entry import CatalogEntry
from providers.oauth2 import NOTHING, authorize_url, new_verifier
from providers.templates import CannotFill
from store.scope import Scope
from store.tickets import Ticket, new_ticket_id
from store.vault import Kind


class ConnectFailed(Exception):
    """Connecting did not work. `details` fill the words of the trouble; `ticket`, where it is known, was tried."""

    def __init__(self, status: int, trouble: Trouble, **details: str) -> None:
        super().__init__(trouble)
        self.status = status
        self.trouble = trouble
        self.details = details
        self.ticket: Ticket | None = None

    @property
    def text(self) -> str:
        """The key of its words: fuller ones where more is known than the application's name."""
        section = "in_full" if self.details.keys() - {"application"} else "trouble"
        return f"{section}.{self.trouble}"


@dataclass(frozen=True)
class Reconnect:
    """The connection that a link mends, and whether another account may take the place of the one before."""

    connection_id: str
    switch_account: bool = False


@dataclass(frozen=True)
class Back:
    """Where a link's customer is taken when it has done its work, and in which language they read meanwhile."""

    session_id: str | None = None  # the page of ours that they come from
    return_url: str | None = None
    locale: str | None = None


NOWHERE = Back()


async def start_link(
    made: Services,
    scope: Scope,
    account_id: str,
    entry: CatalogEntry,
    fields: Mapping[str, str] = NOTHING,
    reconnect: Reconnect | None = None,
    back: Back = NOWHERE,
) -> models.AttemptLink:
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
        session_id=back.session_id,
        return_url=back.return_url,
        locale=back.locale,
    )
    link = await made.tickets.issue(ticket, made.clock())
    url = f"{made.settings.public_url}/connect/start/{link.secret}"
    return models.AttemptLink(id=ticket_id, connect_url=url, expires_at=link.expires_at)


async def reconnect_of(made: Services, scope: Scope, account_id: str, slug: str, connection_id: str) -> Reconnect:
    """The way to mend a connection of this linked account and application.

    Raises:
        ApiError: 404 for any other connection, 409 for one that has ended.
    """
    row = await find(made, scope, connection_id)
    if (row.linked_account_id, row.slug) != (account_id, slug):
        raise not_found("connection")
    if row.status is ConnectionStatus.DISCONNECTED:
        raise ApiError(409, "connection_disconnected", "the connection has ended")
    return Reconnect(row.id)


async def depart(made: Services, ticket: Ticket, browser: str) -> str:
    """The provider's consent page for this browser, with a state that only it can bring back.

    Raises:
        ConnectFailed: the application is not there any more, is not set up, or asks by now for fields that the link
            does not have.
    """
    state, verifier = secrets.token_urlsafe(32), new_verifier()
    try:
        url = await _consent_page(made, ticket, state, verifier)
    except ConnectFailed as failure:
        failure.ticket = ticket
        await made.tickets.fail(ticket, failure.trouble)
        raise
    sealed = await made.vault.seal(ticket.scope, Kind.PKCE_VERIFIER, ticket.id, verifier.encode())
    await made.tickets.depart(ticket, state, browser, sealed, made.clock())
    return url


async def _consent_page(made: Services, ticket: Ticket, state: str, verifier: str) -> str:
    entry = await entry_of(made, ticket.scope, ticket.slug)
    ours = await client_of(made, ticket.scope, entry)
    try:
        return authorize_url(
            ours.oauth2,
            ours.client,
            redirect_uri=redirect_uri(made, entry.slug),
            state=state,
            verifier=verifier,
            scopes=ours.scopes,
            given=await given_of(made, ticket),
        )
    except CannotFill:
        raise ConnectFailed(409, Trouble.APPLICATION_CHANGED) from None


def redirect_uri(made: Services, slug: str) -> str:
    return f"{made.settings.public_url}/api/v1/{slug}/callback"


async def entry_of(made: Services, scope: Scope, slug: str) -> CatalogEntry:
    entry = await made.entry(scope, slug)
    if entry is None:
        raise ConnectFailed(404, Trouble.APPLICATION_NOT_FOUND)
    return entry


async def client_of(made: Services, scope: Scope, entry: CatalogEntry) -> OurClient:
    try:
        return await oauth_client(made, scope, entry)
    except ApiError:
        raise ConnectFailed(409, Trouble.APPLICATION_NOT_CONFIGURED) from None


async def _sealed(made: Services, scope: Scope, ticket_id: str, given: dict[str, str]) -> bytes | None:
    if not given:
        return None
    return await made.vault.seal(scope, Kind.GIVEN_FIELDS, ticket_id, json.dumps(given).encode())


async def given_of(made: Services, ticket: Ticket) -> dict[str, str]:
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
