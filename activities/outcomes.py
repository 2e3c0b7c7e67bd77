"""Answers that several activities give."""

from __future__ import annotations

from datetime import datetime, timedelta

from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from activities.limits import NotNow, Why
from everlink.contract import TRANSIENT, CredentialOutcome, CredentialTask, TransientFailure, Verdict
from providers.entry import CatalogEntry
from store.credentials import StoredCredential

LONG_WAIT_SECONDS = 60.0  # what is longer than this is waited out by the workflow, on its page


def superseded(
    stored: StoredCredential | None, entry: CatalogEntry, task: CredentialTask, now: datetime
) -> CredentialOutcome:
    """A newer credential is in the vault: the winner's deadline is the one that counts."""
    if stored is None:
        return CredentialOutcome(
            verdict=Verdict.SUPERSEDED, generation=task.generation, note="the credential was purged"
        )
    return CredentialOutcome(
        verdict=Verdict.SUPERSEDED,
        generation=stored.generation,
        lifetimes=entry.lifetimes(**stored.left(now)),
        note="a newer credential is in the vault",
    )


def not_now(task: CredentialTask, refusal: NotNow) -> CredentialOutcome:
    """Nobody was asked."""
    return CredentialOutcome(
        verdict=Verdict.APPLICATION_ERROR if refusal.why is Why.REFUSED else Verdict.TRANSIENT,
        generation=task.generation,
        retry_after=refusal.seconds,
        deferred=refusal.why is Why.CROWDED,
        note=str(refusal),
    )


def retryable(outcome: CredentialOutcome) -> ApplicationError:
    """The typed failure that Temporal retries; a long wait goes back to the workflow, which shows it.

    Its text and details are static words and numbers.
    """
    wait = outcome.retry_after
    failure = TransientFailure(note=outcome.note, retry_after=wait, deferred=outcome.deferred)
    return ApplicationError(
        outcome.note,
        failure,
        type=TRANSIENT,
        category=ApplicationErrorCategory.BENIGN,  # expected: the worker's log needs no stack of it
        non_retryable=wait is not None and wait > LONG_WAIT_SECONDS,
        next_retry_delay=timedelta(seconds=wait) if wait else None,
    )
