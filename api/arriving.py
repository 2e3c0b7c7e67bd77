"""A customer's browser is back from a provider: what its answer is worth, and the connection that comes of it."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import timedelta

from api.connecting import ConnectFailed, client_of, entry_of, given_of, redirect_uri
from api.errors import ApiError
from api.lifecycle import NOBODY, Grant, Target, establish, find
from api.our_client import OurClient
from api.services import Services
from api.trouble import Trouble
from api.waiting import first_of
from everlink.contract import ConnectionView, Verdict
from providers.credential import OAuthCredential, bounded
from providers.denials import denied_by
from providers.entry import CatalogEntry, OAuth2
from providers.http import RequestFailed
from providers.identity import Whose, identify
from providers.oauth2 import Client, exchange_code
from providers.probe import ask
from providers.revocation import end_grant
from providers.rules import Denial
from providers.templates import CannotFill
from providers.verdict import TokenVerdict, judge_token_answer
from store.tickets import Ticket, Visit
from store.vault import Kind

log = logging.getLogger("everlink.api")

PATIENCE_SECONDS = 20
DENIALS = {
    Denial.CUSTOMER: Trouble.ACCESS_DENIED,
    Denial.ADMINISTRATOR: Trouble.APPROVAL_NEEDED,
    Denial.PROVIDER: Trouble.PROVIDER_UNAVAILABLE,
    Denial.APPLICATION: Trouble.APPLICATION_REFUSED,
    None: Trouble.PROVIDER_FAILED,
}


@dataclass(frozen=True)
class Callback:
    """What the browser brought back from the provider (RFC 6749 section 4.1.2, RFC 9207)."""

    state: str | None
    code: str | None
    error: str | None
    description: str | None  # of the error: some providers tell only there what it is; never shown
    issuer: str | None
    more: dict[str, str] = field(default_factory=dict)  # what no standard knows


@dataclass(frozen=True)
class Arrival:
    """A browser that is back from the provider."""

    ticket: Ticket
    connection_id: str | None  # that came of it; none: the link has done its work in another tab


async def arrive(made: Services, slug: str, browser: str | None, callback: Callback) -> Arrival:
    """The browser is back from the provider: trade the code, learn whose account it is, keep the grant.

    Raises:
        ConnectFailed: it did not work; nothing is connected that was not before.
    """
    if not callback.state or not browser:
        raise ConnectFailed(400, Trouble.LINK_INCOMPLETE)
    visit = await made.tickets.arrive(callback.state, browser, made.clock())
    if visit is None:
        ticket = await _done_before(made, slug, browser, callback.state)
        return Arrival(ticket, ticket.connected_id)
    ticket = visit.ticket
    if ticket.used:
        return Arrival(ticket, None)
    try:
        if ticket.slug != slug:
            raise ConnectFailed(400, Trouble.INVALID_ANSWER)
        view = await _connect(made, visit, callback)
    except ConnectFailed as failure:
        failure.ticket = ticket
        await made.tickets.fail(ticket, failure.trouble)
        raise
    await made.tickets.use(ticket, view.connection_id, made.clock())
    return Arrival(ticket, view.connection_id)


async def _done_before(made: Services, slug: str, browser: str, state: str) -> Ticket:
    """The ticket of an answer that this browser brings again, once that has done its work.

    The page is loaded again, or its link was clicked twice: then only the last answer is shown, so it must be as good
    as the first.

    Raises:
        ConnectFailed: nothing came of it, or it is none of this browser's.
    """
    ticket = await made.tickets.arrived(state, browser, slug, made.clock())
    if ticket is not None and not ticket.used and ticket.error_code is None:
        await _until_it_ends(made, ticket)
        ticket = await made.tickets.arrived(state, browser, slug, made.clock())
    if ticket is None or not ticket.used:
        raise ConnectFailed(400, Trouble.LINK_USED)
    return ticket


async def _until_it_ends(made: Services, ticket: Ticket) -> None:
    """Until something has come of a ticket's present try, or the patience is over."""
    try:
        with made.waiting_for_attempts.place(ticket.id, lambda seen: bool(seen.connected_id or seen.error_code)) as end:
            await first_of(end.wait(), timeout=PATIENCE_SECONDS)
    except ApiError as error:  # too many wait
        raise ConnectFailed(error.status, Trouble.BUSY) from None


async def _connect(made: Services, visit: Visit, callback: Callback) -> ConnectionView:
    ticket = visit.ticket
    entry = await entry_of(made, ticket.scope, ticket.slug)
    ours = await client_of(made, ticket.scope, entry)
    _check_answer(entry, ours.oauth2, callback)
    grant = await _trade(made, visit, entry, ours, callback)
    try:
        target = Target(ticket.scope, ticket.linked_account_id, ticket.connection_id, ticket.switch_account)
        return await establish(made, target, entry, grant)
    except ApiError as error:
        if error.status == 409:
            assert isinstance(grant.credential, OAuthCredential)
            await _give_back(made, ticket, ours, grant.credential, grant.whose)
        trouble = Trouble.of(error.error_code)
        accounts = await _accounts(made, ticket, grant.whose) if trouble is Trouble.DIFFERENT_ACCOUNT else {}
        raise ConnectFailed(error.status, trouble, application=entry.name, **accounts) from None


async def _accounts(made: Services, ticket: Ticket, came: Whose) -> dict[str, str]:
    """The account that a reconnect needs and the one that came, as their owner knows them: apart, in any case."""
    assert ticket.connection_id is not None
    row = await find(made, ticket.scope, ticket.connection_id)
    if row.display_name and came.name and row.display_name != came.name:
        return {"expected": row.display_name, "came": came.name}
    return {"expected": _named(row.display_name, row.identifier), "came": _named(came.name, came.id)}


def _named(name: str | None, identifier: str) -> str:
    return f"{name} ({identifier})" if name and name != identifier else identifier


def _check_answer(entry: CatalogEntry, oauth2: OAuth2, callback: Callback) -> None:
    _check_issuer(oauth2, callback)
    if callback.error is not None:
        said = {**callback.more, "error": callback.error, "error_description": callback.description or ""}
        denial = denied_by(oauth2, said)
        if denial is Denial.APPLICATION:
            log.warning("the consent page of %s refuses the application's own request", entry.slug)
        raise ConnectFailed(400, DENIALS[denial], application=entry.name)
    if not callback.code:
        raise ConnectFailed(400, Trouble.NO_CODE, application=entry.name)


async def _trade(made: Services, visit: Visit, entry: CatalogEntry, ours: OurClient, callback: Callback) -> Grant:
    """What the code is good for, and whose account it opens."""
    ticket, name = visit.ticket, entry.name
    verifier = await made.vault.open(ticket.scope, Kind.PKCE_VERIFIER, ticket.id, visit.sealed_verifier)
    given = await given_of(made, ticket)
    try:
        verdict = await _exchange(made, ticket.slug, ours, callback.code or "", verifier.decode(), given)
    except CannotFill:
        raise ConnectFailed(409, Trouble.APPLICATION_CHANGED) from None
    except RequestFailed:
        raise ConnectFailed(502, Trouble.PROVIDER_UNREACHABLE, application=name) from None
    if verdict.verdict is Verdict.APPLICATION_ERROR:
        log.warning("the token endpoint of %s refuses the application's own client", ticket.slug)
        raise ConnectFailed(502, Trouble.APPLICATION_REFUSED, application=name)
    if verdict.credential is None:
        raise ConnectFailed(502, Trouble.CODE_REFUSED, application=name)
    credential = _with(verdict.credential, given, callback.more)
    whose = await _identify(made, entry, ours, credential)
    missing = credential.lacks(ours.required_scopes)
    if missing:
        await _give_back(made, ticket, ours, credential, whose or NOBODY)
        raise ConnectFailed(400, Trouble.SCOPES_MISSING, application=name, scopes=", ".join(missing))
    if whose is None:
        raise ConnectFailed(502, Trouble.ACCOUNT_UNKNOWN, application=name)
    ends_in = ours.oauth2.grant_seconds if verdict.ends_in is None else verdict.ends_in
    return Grant(
        credential=credential,
        renewable=credential.refresh_token is not None,
        expires_in=verdict.expires_in,
        whose=whose,
        ends_at=None if ends_in is None else made.clock() + timedelta(seconds=ends_in),
    )


async def _give_back(
    made: Services, ticket: Ticket, ours: OurClient, credential: OAuthCredential, whose: Whose
) -> None:
    """A grant that is not kept is revoked, where that cannot end the one of another connection of the same account."""
    known = bool(whose.keys)
    if known and not await made.connections.has_account(ticket.scope, ticket.slug, whose.id):
        await end_grant(made.http, ours.oauth2, ours.clients, credential)


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


def _check_issuer(oauth2: OAuth2, callback: Callback) -> None:
    """RFC 9207: an answer of another server must not pass for this one's. Some servers omit it on errors."""
    if oauth2.issuer is None:
        return
    missing_on_error = callback.issuer is None and callback.error is not None
    if callback.issuer != oauth2.issuer and not missing_on_error:
        raise ConnectFailed(400, Trouble.WRONG_ISSUER)


async def _identify(made: Services, entry: CatalogEntry, ours: OurClient, credential: OAuthCredential) -> Whose | None:
    """Whose account the credential opens; where the provider can be asked, it also proves that it works."""
    answer = await ask(made.http, entry, credential, ours.client)
    whose = identify(entry.identity, credential, answer.said if answer else None) if entry.identity else NOBODY
    return whose if answer is None or answer.verdict is Verdict.OK else None
