"""The end of a connection: the grant is revoked at the provider, the credential is purged here."""

from __future__ import annotations

from temporalio import activity

from activities.outcomes import retryable
from activities.shared import Shared
from everlink.contract import Activity, CredentialOutcome, CredentialTask, Verdict
from providers.credential import OAuthCredential
from providers.http import RequestFailed
from providers.oauth2 import revoke
from providers.verdict import refuses_client
from store.scope import Scope


class FarewellActivities:
    def __init__(self, shared: Shared) -> None:
        self._shared = shared

    @activity.defn(name=Activity.REVOKE_UPSTREAM)
    async def revoke_upstream(self, task: CredentialTask) -> CredentialOutcome:
        """Revoke whatever credential the vault holds now; RFC 7009 answers 200 for a dead token as well."""
        shared = self._shared
        oauth2 = (await shared.entry(task.ref)).oauth2
        stored = await shared.credentials.read(Scope.of(task.ref), task.ref.connection_id)
        client = await shared.client_of(task.ref)
        if stored is None or client is None or oauth2 is None or oauth2.revoke_url is None:
            return _receipt(task, Verdict.UNSUPPORTED, "the application has no way to revoke; nothing was sent")
        credential = await shared.open(task.ref, stored.sealed)
        if not isinstance(credential, OAuthCredential):
            return _receipt(task, Verdict.UNSUPPORTED, "a key cannot be revoked from here")
        try:
            answer = await revoke(shared.http, oauth2, client[1], credential)
            former = await shared.former_client(task.ref, client) if refuses_client(answer, oauth2) else None
            if former is not None:
                answer = await revoke(shared.http, oauth2, former, credential)
        except RequestFailed as failure:
            raise retryable(_receipt(task, Verdict.TRANSIENT, str(failure))) from None
        if 200 <= answer.status < 300:
            return _receipt(task, Verdict.OK, "revoked at the provider")
        if answer.status == 429 or answer.status >= 500:
            waiting = _receipt(task, Verdict.TRANSIENT, f"the provider answered HTTP {answer.status}")
            raise retryable(waiting.model_copy(update={"retry_after": answer.retry_after()}))
        return _receipt(task, Verdict.DEAD, f"the provider refused to revoke (HTTP {answer.status})")

    @activity.defn(name=Activity.PURGE_CREDENTIAL)
    async def purge_credential(self, task: CredentialTask) -> None:
        """Forget the credential for good. Idempotent."""
        await self._shared.credentials.purge(Scope.of(task.ref), task.ref.connection_id)


def _receipt(task: CredentialTask, verdict: Verdict, note: str) -> CredentialOutcome:
    return CredentialOutcome(verdict=verdict, generation=task.generation, note=note)
