"""Asks the provider whether a credential still works."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime

from temporalio import activity

from activities.limits import PATIENCE_SECONDS, NotNow
from activities.outcomes import not_now, retryable, superseded
from activities.shared import DELETED, Shared
from activities.token_request import cannot_ask
from everlink.contract import Activity, CredentialOutcome, CredentialTask, ReauthReason, Verdict
from providers.call import filled
from providers.credential import Credential, OAuthCredential
from providers.entry import CatalogEntry
from providers.oauth2 import Client
from providers.probe import ask, can_ask
from providers.templates import CannotFill
from store.credentials import StoredCredential
from store.scope import Scope


class ProbeActivities:
    def __init__(self, shared: Shared) -> None:
        self._shared = shared

    @activity.defn(name=Activity.PROBE)
    async def probe(self, task: CredentialTask) -> CredentialOutcome:
        """One try. A refusal counts only for the credential that is still there."""
        shared, scope, entry = self._shared, Scope.of(task.ref), await self._shared.entry(task.ref)
        stored = await shared.credentials.read(scope, task.ref.connection_id)
        if stored is None or stored.generation != task.generation:
            return superseded(stored, entry, task, shared.clock())
        if not can_ask(entry):
            return _unsupported(task)
        credential = await shared.open(task.ref, stored.sealed)
        client = await self._client(task, entry, credential)
        if entry.probe is not None and isinstance(credential, OAuthCredential):
            try:
                filled(entry.probe, credential.values())
            except CannotFill as lack:
                raise retryable(cannot_ask(task, lack)) from None
        try:
            turn = await shared.limiter.turn(task.ref, entry.limits, patience=PATIENCE_SECONDS, urgent=task.urgent)
        except NotNow as refusal:
            raise retryable(not_now(task, refusal)) from None
        with turn:
            verdict = await ask(shared.http, entry, credential, client)
        if verdict is None:
            return _unsupported(task)
        if verdict.retry_after is not None:
            turn.asked_to_wait(verdict.retry_after)
        if verdict.verdict is Verdict.DEAD:
            latest = await shared.credentials.read(scope, task.ref.connection_id)
            if latest is None or latest.generation != task.generation:
                return superseded(latest, entry, task, shared.clock())
        if verdict.reason is ReauthReason.APPLICATION_DELETED:
            await shared.alarm(task.ref, DELETED)
        outcome = CredentialOutcome(
            verdict=verdict.verdict,
            generation=task.generation,
            lifetimes=entry.lifetimes(
                renewable=stored.renewable,
                expires_in=_expires_in(stored, shared.clock()),
                ends_in=stored.ends_in(shared.clock()),
            ),
            reason=verdict.reason,
            retry_after=verdict.retry_after,
            note=verdict.note,
        )
        if outcome.verdict is Verdict.TRANSIENT:
            raise retryable(outcome)
        return outcome

    async def _client(self, task: CredentialTask, entry: CatalogEntry, credential: Credential) -> Client | None:
        """Who asks about a token; a probe shows no client."""
        if entry.probe is not None or entry.oauth2 is None or not isinstance(credential, OAuthCredential):
            return None
        with suppress(CannotFill):
            return next(iter(await self._shared.clients(task.ref, entry.oauth2, credential)), None)
        return None


def _unsupported(task: CredentialTask) -> CredentialOutcome:
    return CredentialOutcome(
        verdict=Verdict.UNSUPPORTED, generation=task.generation, note="the application has no probe"
    )


def _expires_in(stored: StoredCredential, now: datetime) -> float | None:
    """A credential that outlives the end it was given, and that nothing can renew, has no known end."""
    outlived = stored.expires_at is not None and stored.expires_at <= now and not stored.renewable
    return None if outlived else stored.seconds_left(now)
