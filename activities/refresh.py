"""The `refresh` activity: what must be known before a token request, and whose turn it is.

The request itself, which cannot lose a grant, is in `activities/token_request.py`.
"""

from __future__ import annotations

import base64

from temporalio import activity

from activities.limits import PATIENCE_SECONDS, NotNow
from activities.outcomes import not_now, retryable, superseded
from activities.shared import Shared
from activities.token_request import TokenRequest, cannot_ask, dead, stored_credential
from everlink.contract import (
    Activity,
    CredentialOutcome,
    CredentialTask,
    ReauthReason,
    StoreSealedTask,
    Verdict,
)
from providers.credential import OAuthCredential
from providers.oauth2 import is_renewable, renewal_url
from providers.templates import CannotFill
from store.scope import Scope


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
        credential = stored_credential(task.replaces + 1, sealed, task.lifetimes, now)
        return await self._shared.credentials.swap(task.ref.connection_id, task.replaces, credential, now)

    async def _try(self, task: CredentialTask) -> CredentialOutcome:
        shared = self._shared
        entry = await shared.entry(task.ref)
        ref = task.ref
        stored, application = await shared.credentials.read_both(Scope.of(ref), ref.connection_id, ref.slug)
        if stored is None or stored.generation != task.generation:
            return superseded(stored, entry, task, shared.clock())
        credential = await shared.open(task.ref, stored.sealed)
        if entry.oauth2 is None or not isinstance(credential, OAuthCredential):
            return CredentialOutcome(
                verdict=Verdict.UNSUPPORTED,
                generation=task.generation,
                note="the application has nothing to refresh",
            )
        if not is_renewable(entry.oauth2, credential):
            return dead(task, ReauthReason.REFRESH_TOKEN_EXPIRED, "the grant ended: it has no refresh token")
        client = None
        if not entry.oauth2.asks_with_customers_client:
            client = await shared.opened_client(task.ref, application)
            if client is None:
                return CredentialOutcome(
                    verdict=Verdict.APPLICATION_ERROR,
                    generation=task.generation,
                    note="the application has no client id here",
                )
        try:
            turn = await shared.limiter.turn(
                task.ref,
                entry.limits,
                # A local activity holds its workflow up: it does not wait.
                patience=0.0 if activity.info().is_local else PATIENCE_SECONDS,
                urgent=task.urgent,
                endpoint=renewal_url(entry.oauth2, credential.given),
                client=client[0] if client else None,
            )
        except NotNow as refusal:
            return not_now(task, refusal)
        except CannotFill as lack:
            return cannot_ask(task, lack)
        request = TokenRequest(shared, task, entry, entry.oauth2, client, stored, credential)
        return await shared.shielded.run(request.send(turn))
