"""A refresh that cannot lose a grant.

1. Re-read the credential; stop if its generation moved.
2. Write an intent, which also proves that the store can be written.
3. Send one token request, under a deadline shorter than the intent's lease.
4. Store the result by compare-and-swap on the generation before anything else, shielded from cancellation.

A retry that finds an unfinished intent waits out its lease. A refusal after a request whose outcome nobody
knows is `refresh_outcome_unknown`: the provider may have rotated the grant into an answer that was lost.
"""

from __future__ import annotations

import base64
from contextlib import suppress
from datetime import datetime, timedelta

from temporalio import activity

from activities.outcomes import retryable, superseded
from activities.shared import Shared
from everlink.contract import (
    Activity,
    CredentialOutcome,
    CredentialTask,
    Lifetimes,
    ReauthReason,
    StoreSealedTask,
    Verdict,
)
from providers.catalog import OAuth2
from providers.credential import OAuthCredential
from providers.http import DEADLINE_SECONDS, RequestFailed
from providers.oauth2 import Client, refresh, revoke
from providers.verdict import TokenVerdict, judge_token_answer
from store.credentials import Intent, IntentOutcome, Leased, StoredClient, StoredCredential
from store.database import StoreUnavailable
from store.scope import Scope

LEASE = timedelta(seconds=DEADLINE_SECONDS + 20)  # the request and the write behind it


class RefreshActivities:
    def __init__(self, shared: Shared) -> None:
        self._shared = shared

    @activity.defn(name=Activity.REFRESH)
    async def refresh(self, task: CredentialTask) -> CredentialOutcome:
        """One try. Answers a verdict; as a normal activity, trouble is raised as the failure `Transient`."""
        outcome = await self._try(task)
        if outcome.verdict is Verdict.TRANSIENT and not activity.info().is_local:
            raise retryable(outcome)
        return outcome

    @activity.defn(name=Activity.STORE_SEALED)
    async def store_sealed(self, task: StoreSealedTask) -> bool:
        """Store a refreshed credential that the vault sealed while the store was down. Idempotent."""
        sealed = base64.b64decode(task.sealed)
        now = self._shared.clock()
        credential = _stored(task.replaces + 1, sealed, task.lifetimes, now)
        return await self._shared.credentials.swap(task.ref.connection_id, task.replaces, credential, now)

    async def _try(self, task: CredentialTask) -> CredentialOutcome:
        shared = self._shared
        entry = shared.entry(task.ref)
        stored = await shared.credentials.read(Scope.of(task.ref), task.ref.connection_id)
        if stored is None or stored.generation != task.generation:
            return superseded(stored, entry, task, shared.clock())
        credential = await shared.open(task.ref, stored.sealed)
        oauth2 = entry.oauth2
        if oauth2 is None or not isinstance(credential, OAuthCredential):
            return _outcome(task, Verdict.UNSUPPORTED, "the application has nothing to refresh")
        if credential.refresh_token is None:
            return _dead(task, ReauthReason.REFRESH_TOKEN_EXPIRED, "the grant ended: it has no refresh token")
        client = await shared.client_of(task.ref)
        if client is None:
            return _outcome(task, Verdict.APPLICATION_ERROR, "the application has no client id here")
        intent = await shared.credentials.begin(task.ref.connection_id, task.generation, shared.clock(), LEASE)
        if intent is None:
            return await self._moved(task)
        if isinstance(intent, Leased):
            return CredentialOutcome(
                verdict=Verdict.TRANSIENT,
                generation=task.generation,
                retry_after=intent.seconds_left,
                note="an earlier refresh may still come back; its lease is waited out",
            )
        return await shared.to_the_end(self._request(task, intent, oauth2, client, credential))

    async def _request(
        self,
        task: CredentialTask,
        intent: Intent,
        oauth2: OAuth2,
        client: tuple[StoredClient, Client],
        credential: OAuthCredential,
    ) -> CredentialOutcome:
        """The token request and what follows from its answer. Runs to its end once begun."""
        application, provider_client = client
        try:
            answer = await refresh(self._shared.http, oauth2, provider_client, credential)
        except RequestFailed as failure:
            unknown = IntentOutcome.UNKNOWN if failure.sent else IntentOutcome.NOT_SENT
            await self._shared.credentials.close(intent, unknown)
            return _outcome(task, Verdict.TRANSIENT, str(failure))
        verdict = judge_token_answer(answer, oauth2, credential)
        if verdict.verdict is Verdict.OK:
            return await self._keep(task, intent, oauth2, client, verdict)
        # Only a clear refusal proves that the request changed nothing.
        clear = verdict.verdict is not Verdict.TRANSIENT or 300 <= answer.status < 500
        await self._shared.credentials.close(intent, IntentOutcome.ANSWERED if clear else IntentOutcome.UNKNOWN)
        if verdict.verdict is Verdict.APPLICATION_ERROR:
            await self._alarm(application, verdict.note)
        if verdict.verdict is Verdict.DEAD:
            return await self._refused(task, intent, verdict)
        return CredentialOutcome(
            verdict=verdict.verdict,
            generation=task.generation,
            retry_after=verdict.retry_after,
            note=verdict.note,
        )

    async def _keep(
        self,
        task: CredentialTask,
        intent: Intent,
        oauth2: OAuth2,
        client: tuple[StoredClient, Client],
        verdict: TokenVerdict,
    ) -> CredentialOutcome:
        """Store what the provider granted; where the store is down, hand it on sealed."""
        assert verdict.credential is not None
        application, provider_client = client
        entry = self._shared.entry(task.ref)
        renewable = verdict.credential.refresh_token is not None
        lifetimes = entry.lifetimes(renewable=renewable, expires_in=verdict.expires_in)
        sealed = await self._shared.seal(task.ref, verdict.credential)
        kept = CredentialOutcome(
            verdict=Verdict.OK, generation=task.generation + 1, lifetimes=lifetimes, note=verdict.note
        )
        now = self._shared.clock()
        stored = _stored(kept.generation, sealed, lifetimes, now)
        try:
            swapped = await self._shared.credentials.swap(task.ref.connection_id, task.generation, stored, now, intent)
        except StoreUnavailable:
            return kept.model_copy(update={"sealed": base64.b64encode(sealed).decode()})
        if not swapped:
            scope, connection_id = Scope.of(task.ref), task.ref.connection_id
            ended = await self._shared.credentials.read(scope, connection_id) is None
            if ended and oauth2.revoke_url is not None:  # nobody else knows of this grant
                with suppress(RequestFailed):
                    await revoke(self._shared.http, oauth2, provider_client, verdict.credential)
            return await self._moved(task)
        if application.alarm is not None:
            await self._alarm(application, None)
        return kept

    async def _refused(self, task: CredentialTask, intent: Intent, verdict: TokenVerdict) -> CredentialOutcome:
        """A refusal counts only for the credential that is still there, and only if no answer was lost before."""
        stored = await self._shared.credentials.read(Scope.of(task.ref), task.ref.connection_id)
        if stored is None or stored.generation != task.generation:
            return superseded(stored, self._shared.entry(task.ref), task, self._shared.clock())
        if intent.in_doubt:
            return _dead(
                task,
                ReauthReason.REFRESH_OUTCOME_UNKNOWN,
                "the answer to an earlier refresh was lost, and the provider now refuses the old token",
            )
        return _dead(task, verdict.reason or ReauthReason.ACCESS_REVOKED, verdict.note)

    async def _moved(self, task: CredentialTask) -> CredentialOutcome:
        stored = await self._shared.credentials.read(Scope.of(task.ref), task.ref.connection_id)
        return superseded(stored, self._shared.entry(task.ref), task, self._shared.clock())

    async def _alarm(self, application: StoredClient, words: str | None) -> None:
        await self._shared.credentials.set_alarm(application.application_id, words, self._shared.clock())


def _stored(generation: int, sealed: bytes, lifetimes: Lifetimes, now: datetime) -> StoredCredential:
    expires_at = None
    if lifetimes.expires_in is not None:
        expires_at = now + timedelta(seconds=lifetimes.expires_in)
    return StoredCredential(generation, sealed, lifetimes.renewable, expires_at)


def _outcome(task: CredentialTask, verdict: Verdict, note: str) -> CredentialOutcome:
    return CredentialOutcome(verdict=verdict, generation=task.generation, note=note)


def _dead(task: CredentialTask, reason: ReauthReason, note: str) -> CredentialOutcome:
    return CredentialOutcome(verdict=Verdict.DEAD, generation=task.generation, reason=reason, note=note)
