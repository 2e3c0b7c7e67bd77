"""One token request that cannot lose a grant.

1. Write an intent, which also proves that the store can be written; stop if the credential's generation moved.
2. Send one request, under a deadline shorter than the intent's lease. Only where the provider refuses our client,
   which leaves the grant alone, a second one with the client secret before, within the same deadline.
3. Store the result by compare-and-swap on the generation, before anything else.

All of it runs to its end once begun, whoever cancels. A retry that finds an unfinished intent waits out its
lease. A refusal after a request whose outcome nobody knows is `refresh_outcome_unknown`: the provider may have
rotated the grant into an answer that was lost.
"""

from __future__ import annotations

import base64
import logging
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from temporalio.service import RPCError

from activities.limits import Turn
from activities.outcomes import superseded
from activities.shared import DELETED, Shared
from everlink.contract import (
    CredentialOutcome,
    CredentialTask,
    LateSuccess,
    Lifetimes,
    ReauthReason,
    Signal,
    Verdict,
    connection_workflow_id,
)
from providers.credential import OAuthCredential
from providers.entry import CatalogEntry, OAuth2
from providers.http import DEADLINE_SECONDS, Answer, RequestFailed
from providers.oauth2 import Client, customers_client, is_renewable, refresh
from providers.templates import CannotFill
from providers.verdict import TokenVerdict, judge_token_answer
from store.credentials import Intent, IntentOutcome, Leased, StoredClient, StoredCredential
from store.database import StoreUnavailable
from store.scope import Scope

WRITE_SECONDS = 20.0  # for the write behind the request
LEAST_SECONDS = 2.0  # a second request with less than this left of the deadline is not worth beginning

log = logging.getLogger("everlink.refresh")


def deadline_seconds(oauth2: OAuth2) -> float:
    """For the request in all. Where the server repeats a lost answer for a while, a retry must come within it."""
    grace = oauth2.reuse_grace_seconds
    return DEADLINE_SECONDS if grace is None else min(DEADLINE_SECONDS, grace / 3)


def lease(oauth2: OAuth2) -> timedelta:
    """How long nobody else may ask: the request and the write behind it, and at most half of the grace."""
    grace = oauth2.reuse_grace_seconds
    whole = DEADLINE_SECONDS + WRITE_SECONDS
    return timedelta(seconds=whole if grace is None else min(whole, grace / 2))


@dataclass(frozen=True)
class TokenRequest:
    """What one request needs, and what follows from its answer."""

    shared: Shared
    task: CredentialTask
    entry: CatalogEntry
    oauth2: OAuth2  # the entry's
    client: tuple[StoredClient, Client] | None  # None: the customer's own, which is in the credential
    stored: StoredCredential
    credential: OAuthCredential

    async def send(self, turn: Turn) -> CredentialOutcome:
        """Send it, if nobody else has. Cancelling would lose an answer: shield this."""
        with turn:
            credentials, task = self.shared.credentials, self.task
            now = self.shared.clock()
            intent = await credentials.begin(task.ref.connection_id, task.generation, now, lease(self.oauth2))
            if intent is None:
                return await self._moved()
            if isinstance(intent, Leased):
                return CredentialOutcome(
                    verdict=Verdict.TRANSIENT,
                    generation=task.generation,
                    retry_after=intent.seconds_left,
                    deferred=True,
                    note="an earlier refresh may still come back; its lease is waited out",
                )
            deadline = deadline_seconds(self.oauth2)
            if self.shared.clock() > intent.lease_until - timedelta(seconds=deadline):
                # This process stood still. Another may have rotated the grant: reuse of the old token would end it.
                await credentials.close(intent, IntentOutcome.NOT_SENT)
                return self._outcome(Verdict.TRANSIENT, "the worker stood still before the request; nothing was sent")
            try:
                answer, verdict, client = await self._ask(turn, intent, deadline)
            except CannotFill as lack:
                await credentials.close(intent, IntentOutcome.NOT_SENT)
                return cannot_ask(task, lack)
            except RequestFailed as failure:
                turn.failed()
                await credentials.close(intent, IntentOutcome.UNKNOWN if failure.sent else IntentOutcome.NOT_SENT)
                return self._outcome(Verdict.TRANSIENT, str(failure))
            return await self._act_on(answer, verdict, client, intent, turn)

    async def _ask(self, turn: Turn, intent: Intent, deadline: float) -> tuple[Answer, TokenVerdict, Client]:
        """One request; and a second with the client secret before, only where the provider refuses the present one.

        A client that is refused has not used the grant (RFC 6749 section 5.2). Both come within one deadline.
        """
        client = self.client[1] if self.client else customers_client(self.credential.given)
        answer, verdict = await self._request(turn, client, deadline)
        if verdict.verdict is not Verdict.APPLICATION_ERROR:
            return answer, verdict, client
        former = await self._former_client()
        if former is None:
            return answer, verdict, client
        ends_at = intent.lease_until - lease(self.oauth2) + timedelta(seconds=deadline)
        left = (ends_at - self.shared.clock()).total_seconds()
        if left < LEAST_SECONDS:
            raise RequestFailed("no time was left to try the former client secret", sent=False)
        log.warning("the present client secret of %s is refused, the former one is tried", self.task.ref.slug)
        return *await self._request(turn, former, left), former

    async def _request(self, turn: Turn, client: Client, seconds: float) -> tuple[Answer, TokenVerdict]:
        """What the provider said, and what it means."""
        answer = await refresh(self.shared.http, self.oauth2, client, self.credential, seconds)
        turn.answered(answer.status)
        if answer.status == 429:
            turn.asked_to_wait(answer.retry_after())
        return answer, judge_token_answer(answer, self.oauth2, self.credential)

    async def _former_client(self) -> Client | None:
        assert self.client is not None
        with suppress(StoreUnavailable):
            return await self.shared.former_client(self.task.ref, self.client)
        return None

    async def _act_on(
        self, answer: Answer, verdict: TokenVerdict, client: Client, intent: Intent, turn: Turn
    ) -> CredentialOutcome:
        if verdict.verdict is Verdict.OK:
            return await self._keep(intent, verdict, client)
        # Only a clear refusal proves that the request changed nothing.
        clear = verdict.verdict is not Verdict.TRANSIENT or 300 <= answer.status < 500
        await self.shared.credentials.close(intent, IntentOutcome.ANSWERED if clear else IntentOutcome.UNKNOWN)
        if verdict.verdict is Verdict.APPLICATION_ERROR:
            assert self.client is not None
            turn.refused(self.client[0])
            await self.shared.alarm(self.task.ref, verdict.note)
        if verdict.reason is ReauthReason.APPLICATION_DELETED:
            await self.shared.alarm(self.task.ref, DELETED)
        if verdict.verdict is Verdict.DEAD:
            return await self._refused(intent, verdict)
        return self._outcome(verdict.verdict, verdict.note, verdict.retry_after)

    async def _keep(self, intent: Intent, verdict: TokenVerdict, client: Client) -> CredentialOutcome:
        """Store what the provider granted; where the store is down, hand it on sealed."""
        assert verdict.credential is not None
        shared, task, now = self.shared, self.task, self.shared.clock()
        lifetimes = self.entry.lifetimes(
            renewable=is_renewable(self.oauth2, verdict.credential),
            expires_in=verdict.expires_in,
            ends_in=self.stored.ends_in(now) if verdict.ends_in is None else verdict.ends_in,
        )
        sealed = await shared.seal(task.ref, verdict.credential, like=self.stored.sealed)
        kept = CredentialOutcome(
            verdict=Verdict.OK, generation=task.generation + 1, lifetimes=lifetimes, note=verdict.note
        )
        stored = stored_credential(kept.generation, sealed, lifetimes, now)
        try:
            swapped = await shared.credentials.swap(task.ref.connection_id, task.generation, stored, now, intent)
        except StoreUnavailable:
            return kept.model_copy(update={"sealed": base64.b64encode(sealed).decode()})
        if not swapped:
            await self._give_back(verdict.credential, client)
            return await self._moved()
        if shared.clock() >= intent.lease_until:
            await self._tell_late(kept.generation)
        if self.client is not None and self.client[0].alarm is not None:
            await shared.alarm(task.ref, None)
        return kept

    async def _give_back(self, credential: OAuthCredential, client: Client) -> None:
        """The connection ended meanwhile, and nobody else knows of what the provider has just granted."""
        if await self._read() is None:
            await self.shared.end_grant(self.task.ref, self.oauth2, [client], credential, uninstall=False)

    async def _refused(self, intent: Intent, verdict: TokenVerdict) -> CredentialOutcome:
        """A refusal counts only for the credential that is still there, and only if no answer was lost before."""
        stored = await self._read()
        if stored is None or stored.generation != self.task.generation:
            return superseded(stored, self.entry, self.task, self.shared.clock())
        if intent.in_doubt and self.oauth2.rotates and not self.oauth2.asks_with_customers_client:
            return dead(
                self.task,
                ReauthReason.REFRESH_OUTCOME_UNKNOWN,
                "the answer to an earlier refresh was lost, and the provider now refuses the old token",
            )
        return dead(self.task, verdict.reason or ReauthReason.ACCESS_REVOKED, verdict.note)

    async def _tell_late(self, generation: int) -> None:
        """The lease was over: somebody else may have tried since, and believed a refusal."""
        assert self.shared.temporal is not None
        handle = self.shared.temporal.get_workflow_handle(connection_workflow_id(self.task.ref.connection_id))
        try:
            await handle.signal(Signal.LATE_SUCCESS, LateSuccess(generation=generation))
        except RPCError as error:
            log.warning("a late refresh of %s could not be announced: %s", handle.id, error.status.name)

    async def _moved(self) -> CredentialOutcome:
        return superseded(await self._read(), self.entry, self.task, self.shared.clock())

    async def _read(self) -> StoredCredential | None:
        return await self.shared.credentials.read(Scope.of(self.task.ref), self.task.ref.connection_id)

    def _outcome(self, verdict: Verdict, note: str, retry_after: float | None = None) -> CredentialOutcome:
        return CredentialOutcome(verdict=verdict, generation=self.task.generation, note=note, retry_after=retry_after)


def stored_credential(generation: int, sealed: bytes, lifetimes: Lifetimes, now: datetime) -> StoredCredential:
    """A row for the vault: durations become moments."""

    def moment(seconds: float | None) -> datetime | None:
        return None if seconds is None else now + timedelta(seconds=seconds)

    return StoredCredential(
        generation, sealed, lifetimes.renewable, moment(lifetimes.expires_in), moment(lifetimes.ends_in)
    )


def cannot_ask(task: CredentialTask, lack: CannotFill) -> CredentialOutcome:
    """The entry has changed since the customer connected. Nothing was sent, so nothing is known of the grant."""
    return CredentialOutcome(
        verdict=Verdict.TRANSIENT,
        generation=task.generation,
        note=f"the application's entry wants what this connection does not have: {lack}; nothing was sent",
    )


def dead(task: CredentialTask, reason: ReauthReason, note: str) -> CredentialOutcome:
    return CredentialOutcome(verdict=Verdict.DEAD, generation=task.generation, reason=reason, note=note)
