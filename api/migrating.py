"""Takes over a grant that another system holds: verified like any other, and never twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from api.errors import ApiError, unavailable
from api.lifecycle import NOBODY, UNTOLD, Grant, Target, establish
from api.our_client import OurClient, oauth_client
from api.services import Services
from everlink.contract import ConnectionStatus, Verdict
from providers.credential import Credential, OAuthCredential
from providers.entry import CatalogEntry, OAuth2
from providers.http import RequestFailed
from providers.identity import Whose, identify
from providers.oauth2 import Client, refresh
from providers.probe import ask
from providers.verdict import ProbeVerdict, TokenVerdict, judge_token_answer
from store.answers import Claim, Place
from store.database import StoreUnavailable
from store.hashing import sha256
from store.scope import Scope
from store.vault import Kind

ALMOST_OVER = 10.0  # seconds: an access token that lives no longer is not worth asking with
SOON = 60.0  # where nobody says when a token ends that a refresh can replace: the workflow then knows
PAUSES = (0.5, 1.0)  # before asking once more whose grant it is, which cannot be given back any more
LEASE = timedelta(minutes=5)  # longer than all of it takes: a claim that is older was left by a crash
STORE_PATIENCE = timedelta(minutes=1)  # for a store that goes away once the provider has rotated
STORE_PAUSE = 2.0


@dataclass(frozen=True)
class HeldGrant:
    """What the other system holds; without an access token that lives, its refresh token has to give one."""

    credential: OAuthCredential
    expires_in: float | None


@dataclass(frozen=True)
class _Verified:
    """A grant that works, and whose it is where the provider said so."""

    credential: OAuthCredential
    expires_in: float | None
    answer: ProbeVerdict | None
    ends_at: datetime | None = None


async def take_over(made: Services, scope: Scope, account_id: str, entry: CatalogEntry, held: HeldGrant) -> bool:
    """Keep the grant; False where it was taken over before and lives, which changes nothing.

    An access token that lives is tried, and nothing of the grant is used up: the other system can go on with it until
    Everlink first refreshes. One that is over, or that the provider refuses, is replaced by the refresh token at
    once, which a rotating provider answers to one system only.

    Raises:
        ApiError: 422 `credentials_refused` or `already_expired`, 502 `provider_unreachable`: nothing is stored. 503
            `still_working` while another process takes over this very grant.
    """
    # A client that hangs up must not lose what the provider has just rotated.
    return await made.shielded.run(_once(made, Target(scope, account_id), entry, held))


async def _once(made: Services, target: Target, entry: CatalogEntry, held: HeldGrant) -> bool:
    ours = await oauth_client(made, target.scope, entry)
    origin = sha256(held.credential.refresh_token or held.credential.access_token)
    # Of the same grant sent twice at once, the second finds the first: a refresh token used twice may end the grant.
    lock = made.taking_over.setdefault((target.scope, origin), asyncio.Lock())
    async with lock, _claimed(made, target.scope, origin):
        if await _is_known(made, target, entry.slug, origin):
            return False
        credential = held.credential.model_copy(update={"origin": origin})
        verified = await _tried(made, entry, ours, credential, held.expires_in)
        if verified is None:
            verified = await _renewed(made, entry, ours, credential)
        await _keep_patiently(made, target, entry, verified)
        return True


@asynccontextmanager
async def _claimed(made: Services, scope: Scope, origin: str) -> AsyncIterator[None]:
    """No other process has this grant meanwhile; and the store has been written before a token is spent."""
    claim = await made.answers.claim(Place(scope, "migration", origin), origin, made.clock(), LEASE)
    if not isinstance(claim, Claim):
        raise unavailable("still_working", "another request is taking over this grant; send it again")
    try:
        yield
    finally:
        with suppress(StoreUnavailable):  # then it is free when its lease ends
            await made.answers.give_up(claim)


async def _is_known(made: Services, target: Target, slug: str, origin: str) -> bool:
    """Whether a living connection began with this grant, or holds it: it may have been rotated since."""
    for row in await made.connections.living(target.scope, [target.linked_account_id], slug):
        stored = await made.credentials.read(target.scope, row.id)
        if stored is None or row.status is ConnectionStatus.REAUTH_REQUIRED:
            continue
        secret = await made.vault.open(target.scope, Kind.CREDENTIAL, row.id, stored.sealed)
        credential = OAuthCredential.model_validate_json(secret)
        if origin in (credential.origin, sha256(credential.refresh_token or credential.access_token)):
            return True
    return False


async def _tried(
    made: Services, entry: CatalogEntry, ours: OurClient, credential: OAuthCredential, expires_in: float | None
) -> _Verified | None:
    """The grant by its access token; None where only the refresh token can tell."""
    if not credential.access_token or (expires_in is not None and expires_in <= ALMOST_OVER):
        if credential.refresh_token is None:
            raise ApiError(422, "already_expired", "the access token has ended, and there is no refresh token")
        return None
    answer = await ask(made.http, entry, credential, ours.client)
    if answer is not None and answer.verdict is Verdict.DEAD:
        if credential.refresh_token is None:
            raise _refused()
        return None
    if answer is not None and not _tells(entry, credential, answer):
        raise _unreachable(answer.retry_after)
    if expires_in is None and entry.oauth2 is not None:
        expires_in = SOON if credential.refresh_token is not None else entry.oauth2.access_token_seconds
    return _Verified(credential, expires_in, answer)


async def _renewed(made: Services, entry: CatalogEntry, ours: OurClient, credential: OAuthCredential) -> _Verified:
    """One refresh. What it grants counts whatever comes after: the other system's token may be worth nothing now."""
    try:
        verdict = await ours.ask(partial(_refresh, made, ours.oauth2, credential))
    except RequestFailed:
        raise _unreachable(None) from None
    if verdict.verdict is Verdict.APPLICATION_ERROR:
        raise ApiError(422, "application_refused", "the provider refuses the application's own client")
    if verdict.verdict is Verdict.DEAD:
        raise _refused()
    if verdict.credential is None:
        raise _unreachable(verdict.retry_after)
    ends_at = None if verdict.ends_in is None else made.clock() + timedelta(seconds=verdict.ends_in)
    identified = await _identified(made, entry, ours, verdict.credential)
    return _Verified(verdict.credential, verdict.expires_in, identified, ends_at)


async def _refresh(made: Services, oauth2: OAuth2, credential: OAuthCredential, client: Client) -> TokenVerdict:
    return judge_token_answer(await refresh(made.http, oauth2, client, credential), oauth2, credential)


async def _identified(
    made: Services, entry: CatalogEntry, ours: OurClient, credential: OAuthCredential
) -> ProbeVerdict | None:
    """Whose grant it is; None where the provider does not say, however often it is asked."""
    for pause in (0.0, *PAUSES):
        await asyncio.sleep(pause)
        answer = await ask(made.http, entry, credential, ours.client)
        if answer is None or _tells(entry, credential, answer):
            return answer
    return None


async def _keep_patiently(made: Services, target: Target, entry: CatalogEntry, verified: _Verified) -> None:
    """The provider may have rotated already: a short outage of the store must not lose what only this process has."""
    until = made.clock() + STORE_PATIENCE
    while made.clock() < until:
        try:
            await _keep(made, target, entry, verified)
            return
        except StoreUnavailable:
            await asyncio.sleep(STORE_PAUSE)
    await _keep(made, target, entry, verified)


async def _keep(made: Services, target: Target, entry: CatalogEntry, verified: _Verified) -> None:
    credential, answer = verified.credential, verified.answer
    assert credential.origin is not None
    # Where a provider that could has not said whose they are, two grants must not take each other's place.
    unknown = Whose(f"{UNTOLD}{credential.origin[:12]}") if entry.identity is not None else NOBODY
    whose = identify(entry.identity, credential, answer.said if answer else None) if entry.identity else None
    grant = Grant(
        credential=credential,
        renewable=credential.refresh_token is not None,
        expires_in=verified.expires_in,
        whose=whose or unknown,
        ends_at=verified.ends_at,
    )
    await establish(made, target, entry, grant)


def _tells(entry: CatalogEntry, credential: Credential, answer: ProbeVerdict) -> bool:
    """Whether the provider accepted it, and said whose it is where a probe does.

    What the token endpoint or the consent said of it, the other system may have kept or not.
    """
    if entry.identity is None or not entry.identity.id.startswith("probe."):
        return answer.verdict is Verdict.OK
    return answer.verdict is Verdict.OK and identify(entry.identity, credential, answer.said) is not None


def _refused() -> ApiError:
    return ApiError(422, "credentials_refused", "the provider does not accept this grant")


def _unreachable(retry_after: float | None) -> ApiError:
    headers = {} if retry_after is None else {"retry-after": str(round(retry_after))}
    return ApiError(502, "provider_unreachable", "the provider could not check this grant", headers=headers)
