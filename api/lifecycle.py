"""What can be done to a connection: establish, refresh, report, disconnect."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from api import temporal
from api.errors import ApiError, not_found
from api.services import Services
from everlink.contract import ConnectCommand, ConnectionStatus, ConnectionView, ProviderEventKind, ReauthReason
from providers.credential import Credential, to_bytes
from providers.entry import CatalogEntry
from providers.identity import Whose
from store.connection_keys import Account, AccountTaken, DifferentAccount
from store.credentials import ConnectionEnded
from store.database import StoreUnavailable
from store.scope import Scope
from store.tables import Connection
from store.tenants import RemovalUnderWay
from store.vault import Kind

CLOCK_SKEW = timedelta(minutes=1)  # by which a provider's clock may be ahead of ours
IN_THE_FUTURE = [{"loc": ["body", "occurred_at"], "type": "in_the_future", "msg": "it has not come yet"}]
UNIDENTIFIED = "default"  # the account's identifier where the application cannot tell
UNTOLD = "unidentified-"  # what it begins with where the application can, and has not
NOBODY = Whose(UNIDENTIFIED)


@dataclass(frozen=True)
class Grant:
    """What a customer has just given: a credential and whose account it opens."""

    credential: Credential
    renewable: bool
    expires_in: float | None
    whose: Whose
    ends_at: datetime | None = None  # when the grant itself ends


@dataclass(frozen=True)
class Target:
    """For whom a grant is kept; a reconnect names its connection, and whether another account may take its place."""

    scope: Scope
    linked_account_id: str
    connection_id: str | None = None
    switch_account: bool = False


async def establish(made: Services, target: Target, entry: CatalogEntry, grant: Grant) -> ConnectionView:
    """Keep a grant: the vault first, then the workflow, which is started where there is none.

    Where this process dies in between, upkeep tells the workflow.

    Raises:
        ApiError: 409 `different_account` where a reconnect opens another account than before and none was asked for,
            `account_already_connected` where another connection has that account, `connection_disconnected` where the
            connection ended meanwhile, or `removal_under_way`; 503 where Temporal does not answer.
    """
    try:
        row, generation = await _keep(made, target, entry, grant)
    except ConnectionEnded:
        raise ApiError(409, "connection_disconnected", "the connection has ended") from None
    except DifferentAccount:
        words = "this is another account than the one that was connected; try again, and choose that one"
        raise ApiError(409, "different_account", words) from None
    except AccountTaken:
        raise ApiError(409, "account_already_connected", "this account is connected already, beside this one") from None
    except RemovalUnderWay as error:
        raise ApiError(409, "removal_under_way", str(error)) from None
    ends_in = None if grant.ends_at is None else (grant.ends_at - made.clock()).total_seconds()
    lifetimes = entry.lifetimes(renewable=grant.renewable, expires_in=grant.expires_in, ends_in=ends_in)
    command = ConnectCommand(generation=generation, lifetimes=lifetimes, identifier=row.identifier)
    view = await temporal.connect(made, row, command)
    with suppress(StoreUnavailable):  # upkeep tells the workflow again, which is idempotent, and confirms
        await made.credentials.confirm(target.scope, row.id, generation)
    return view


async def _keep(made: Services, target: Target, entry: CatalogEntry, grant: Grant) -> tuple[Connection, int]:
    """The vault has it: of which connection, and its generation."""
    row, scope, now = await _connection_for(made, target, entry, grant), target.scope, made.clock()
    whose = grant.whose
    may_switch = target.switch_account or not is_identified(row)  # an account that nobody knows is no other one
    account = Account(whose.id, whose.name, whose.keys, may_switch)
    sealed = await made.vault.seal(scope, Kind.CREDENTIAL, row.id, to_bytes(grant.credential))
    expires_at = None if grant.expires_in is None else now + timedelta(seconds=grant.expires_in)
    generation = await made.credentials.grant(
        scope,
        row.id,
        sealed,
        renewable=grant.renewable,
        expires_at=expires_at,
        now=now,
        ends_at=grant.ends_at,
        account=account,
    )
    row.identifier = whose.id
    return row, generation


async def _connection_for(made: Services, target: Target, entry: CatalogEntry, grant: Grant) -> Connection:
    if target.connection_id is not None:
        return await find(made, target.scope, target.connection_id)
    return await made.connections.find_or_create(
        target.scope,
        linked_account_id=target.linked_account_id,
        slug=entry.slug,
        identifier=grant.whose.id,
        display_name=grant.whose.name,
        auth_type=entry.auth_type,
        now=made.clock(),
    )


def is_identified(row: Connection) -> bool:
    """Whether it is known whose account it is at the provider."""
    return row.identifier != UNIDENTIFIED and not row.identifier.startswith(UNTOLD)


async def find(made: Services, scope: Scope, connection_id: str) -> Connection:
    """A connection of this tenant; 404 for any other id."""
    row = await made.connections.get(scope, connection_id)
    if row is None:
        raise not_found("connection")
    if row.status is not ConnectionStatus.ACTIVE:
        made.recent.forget((scope, connection_id))  # what is seen here is known to who reads the token next
    return row


async def force_refresh(
    made: Services, scope: Scope, connection_id: str, newer_than: int | None = None
) -> ConnectionView:
    """Refresh the credential that is there now, or only one that is not newer than that generation.

    Where the customer is asked already, a try may show it mended.
    """
    row, stored = await find(made, scope, connection_id), await made.credentials.read(scope, connection_id)
    if row.status is not ConnectionStatus.REAUTH_REQUIRED or row.reason == ReauthReason.APPLICATION_DELETED:
        require_living(row)
    if stored is None:
        raise ApiError(409, "connection_disconnected", "there is no credential to refresh")
    return await temporal.refresh(made, row, stored.generation if newer_than is None else newer_than)


async def disconnect(made: Services, row: Connection, *, uninstall: bool = False) -> None:
    """End a connection. One that never finished may hold a live grant as well, and word of it may be on its way."""
    try:
        await temporal.disconnect(made, row, uninstall=uninstall)
    except ApiError as error:
        if error.error_code != "connection_disconnected":  # somebody else was faster
            raise


async def report_rejected(made: Services, row: Connection, generation: int | None) -> None:
    """A product saw the provider refuse the credential: the workflow verifies before it believes it."""
    require_living(row)
    await temporal.report_rejected(made, row, generation)


async def report_event(made: Services, row: Connection, kind: ProviderEventKind, occurred_at: datetime | None) -> None:
    """The provider told the product that the grant is gone, which is believed unless a reconnect came after it.

    Raises:
        ApiError: 422 for what has not happened yet, 409 where there is no living grant to lose.
    """
    now = made.clock()
    if occurred_at is not None and occurred_at > now + CLOCK_SKEW:
        raise ApiError(422, "invalid_request", "what is reported has not happened yet", details=IN_THE_FUTURE)
    require_living(row)
    await temporal.report_event(made, row, kind, occurred_at or now)


def require_living(row: Connection) -> None:
    error = refusal(row.status, row.reason)
    if error is not None:
        raise error


def refusal(status: ConnectionStatus, reason: str | None) -> ApiError | None:
    """Why nothing can be had of a connection now; None where it is active."""
    match status:
        case ConnectionStatus.REAUTH_REQUIRED:
            return ApiError(409, "reauth_required", "the customer has to reconnect", reason=reason)
        case ConnectionStatus.DISCONNECTED:
            return ApiError(409, "connection_disconnected", "the connection has ended")
        case ConnectionStatus.PENDING:
            return ApiError(409, "connection_pending", "the customer has not finished connecting")
        case ConnectionStatus.ACTIVE:
            return None
