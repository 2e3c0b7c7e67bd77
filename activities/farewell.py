"""The end of a connection: the grant is revoked at the provider, the credential is purged here."""

from __future__ import annotations

from temporalio import activity

from activities.outcomes import retryable
from activities.shared import Shared
from everlink.contract import Activity, CredentialOutcome, CredentialTask, Verdict
from providers.credential import OAuthCredential
from providers.templates import CannotFill
from store.scope import Scope


class FarewellActivities:
    def __init__(self, shared: Shared) -> None:
        self._shared = shared

    @activity.defn(name=Activity.REVOKE_UPSTREAM)
    async def revoke_upstream(self, task: CredentialTask) -> CredentialOutcome:
        """Revoke whatever credential the vault holds now, or uninstall the application with it."""
        shared = self._shared
        oauth2 = (await shared.entry(task.ref)).oauth2
        stored = await shared.credentials.read(Scope.of(task.ref), task.ref.connection_id)
        if stored is None:
            return _receipt(task, Verdict.UNSUPPORTED, "there is no credential to revoke")
        credential = await shared.open(task.ref, stored.sealed)
        if oauth2 is None or not isinstance(credential, OAuthCredential):
            return _receipt(task, Verdict.UNSUPPORTED, "a key cannot be revoked from here")
        try:
            clients = await shared.clients(task.ref, oauth2, credential)
        except CannotFill as lack:
            return _receipt(task, Verdict.UNSUPPORTED, f"{lack}; nothing was sent")
        ended = await shared.end_grant(task.ref, oauth2, clients, credential, uninstall=task.uninstall)
        receipt = _receipt(task, ended.verdict, ended.note)
        if ended.verdict is Verdict.TRANSIENT:
            raise retryable(receipt.model_copy(update={"retry_after": ended.retry_after}))
        return receipt

    @activity.defn(name=Activity.PURGE_CREDENTIAL)
    async def purge_credential(self, task: CredentialTask) -> None:
        """Forget the credential for good. Idempotent."""
        await self._shared.credentials.purge(Scope.of(task.ref), task.ref.connection_id)


def _receipt(task: CredentialTask, verdict: Verdict, note: str) -> CredentialOutcome:
    return CredentialOutcome(verdict=verdict, generation=task.generation, note=note)
