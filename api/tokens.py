"""A fresh token for a product that asks: from the store, refreshed through the workflow only where it must be."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

from api import temporal
from api.connecting import Reconnect, start_link
from api.errors import ApiError, not_found, unavailable
from api.lifecycle import find, refusal
from api.services import Services
from everlink.contract import AuthType, ConnectionStatus
from providers.credential import Credential, from_bytes
from providers.entry import CatalogEntry
from store.connections import CredentialRead
from store.credentials import StoredCredential
from store.database import StoreUnavailable
from store.scope import Scope
from store.vault import Kind

NEARLY_ALL = 0.9  # of a token's whole life: who asks for more is given what a refresh could not better much


@dataclass(frozen=True)
class FreshToken:
    """A credential in the clear, for the product that asked."""

    credential: Credential
    stored: StoredCredential
    entry: CatalogEntry | None  # what is known of its application


async def fresh_token(made: Services, scope: Scope, connection_id: str, min_ttl: float) -> FreshToken:
    """A token that lives at least `min_ttl` seconds more, refreshed through the workflow only where it must be.

    Where it cannot be refreshed now, the one that is there is answered for as long as it lives.

    Raises:
        ApiError: 404; 409 with the reason, and where the customer can help, a link for it; 503 where the provider
            does not answer.
    """
    read = made.recent.find((scope, connection_id))
    if read is None or not _lives(made, read, min_ttl):
        read = await _read(made, scope, connection_id)
    if not _lives(made, read, min_ttl) and read.stored is not None and read.stored.renewable:
        try:
            await temporal.refresh(made, await find(made, scope, connection_id), read.stored.generation)
        except ApiError as error:
            if error.status != 503 or not _lives(made, read, 0):
                raise
        read = await _read(made, scope, connection_id)
    if not _lives(made, read, 0) or read.stored is None:
        raise unavailable("refresh_failed", "the provider did not give a fresh token; it will be tried again")
    secret = await made.vault.open(scope, Kind.CREDENTIAL, connection_id, read.stored.sealed)
    return FreshToken(from_bytes(secret), read.stored, await made.entry(scope, read.slug))


async def _read(made: Services, scope: Scope, connection_id: str) -> CredentialRead:
    """What the store says now of a connection that lives."""
    read = await made.recent.read(
        (scope, connection_id),
        lambda: made.connections.with_credential(scope, connection_id),
        lambda read: read.status is ConnectionStatus.ACTIVE,  # a customer's help is seen at once
    )
    if read is None:
        raise not_found("connection")
    error = refusal(read.status, read.reason)
    if error is not None:
        url = await _reconnect_url(made, scope, connection_id, read)
        if url is not None:
            error.fields["reconnect_url"] = url
        raise error
    if read.stored is None:
        raise ApiError(409, "connection_disconnected", "the connection has ended")
    return read


async def _reconnect_url(made: Services, scope: Scope, connection_id: str, read: CredentialRead) -> str | None:
    """A link for the customer that mends the connection; none where no link does."""
    if read.status is ConnectionStatus.DISCONNECTED:
        return None
    entry = await made.entry(scope, read.slug)
    if entry is None or entry.auth_type is not AuthType.OAUTH2:
        return None
    account_id = read.linked_account_id

    async def make() -> str:
        return (await start_link(made, scope, account_id, entry, reconnect=Reconnect(connection_id))).connect_url

    with suppress(ApiError, StoreUnavailable):  # no client here, say: the reason is what matters
        return await made.links.get((connection_id, read.sequence), make)
    return None


def _lives(made: Services, read: CredentialRead, seconds: float) -> bool:
    """Whether a token lives that much longer, or nearly as long as any that its provider gives."""
    if read.stored is None or read.stored.expires_at is None:
        return read.stored is not None
    whole = (read.stored.expires_at - read.updated_at).total_seconds()
    return read.stored.expires_at > made.clock() + timedelta(seconds=min(seconds, NEARLY_ALL * whole))
