"""A connection as its customer understands it, and a provider that says what a test wants and tells the model.

Written without a look at `workflows/life.py`: where the two disagree, one of them is wrong.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from enum import StrEnum

from temporalio import activity

from activities.outcomes import retryable
from everlink.contract import (
    Activity,
    ConnectionStatus,
    CredentialOutcome,
    CredentialTask,
    EventType,
    ReauthReason,
    Recorded,
    TransitionTask,
    Verdict,
)
from tests.workflows.provider import Provider


@dataclass
class Model:
    """The states, and the events that announce them."""

    status: ConnectionStatus = ConnectionStatus.PENDING
    reason: ReauthReason | None = None
    generation: int = 0
    grant: int = 0
    events: list[EventType] = field(default_factory=list)
    is_suspect: bool = False  # somebody doubts the credential, and no answer has settled it
    moves: int = 0  # what overtakes an answer that is on its way

    @property
    def has_application(self) -> bool:
        return self.reason is not ReauthReason.APPLICATION_DELETED

    def granted(self, generation: int) -> None:
        outdated = generation < self.generation and self.status is ConnectionStatus.REAUTH_REQUIRED
        if generation > self.grant and not outdated:
            first = self.status is ConnectionStatus.PENDING
            self._move(ConnectionStatus.ACTIVE, EventType.CREATED if first else EventType.REAUTHENTICATED)
        self.grant, self.generation = max(self.grant, generation), max(self.generation, generation)

    def accepted(self) -> None:
        self.is_suspect = False
        if self.status is ConnectionStatus.REAUTH_REQUIRED:
            self._move(ConnectionStatus.ACTIVE, EventType.REAUTHENTICATED)

    def refused(self, reason: ReauthReason) -> None:
        self.is_suspect = False
        if self.status is ConnectionStatus.ACTIVE:
            self._move(ConnectionStatus.REAUTH_REQUIRED, EventType.EXPIRED, reason)

    def rejected(self, generation: int) -> None:
        self.is_suspect |= self.status is ConnectionStatus.ACTIVE and generation >= self.generation

    def came_late(self, generation: int) -> None:
        if self.status is not ConnectionStatus.DISCONNECTED and generation > self.generation and self.has_application:
            self.is_suspect = True
            self.moves += 1

    def lost_application(self) -> None:
        if self.status is ConnectionStatus.ACTIVE:
            self._move(ConnectionStatus.REAUTH_REQUIRED, EventType.EXPIRED, ReauthReason.APPLICATION_DELETED)
        elif self.status is ConnectionStatus.REAUTH_REQUIRED and self.has_application:
            self.reason, self.is_suspect = ReauthReason.APPLICATION_DELETED, False
            self.moves += 1

    def ended(self) -> None:
        self._move(ConnectionStatus.DISCONNECTED, EventType.DELETED)

    def _move(self, status: ConnectionStatus, event: EventType, reason: ReauthReason | None = None) -> None:
        self.status, self.reason, self.is_suspect = status, reason, False
        self.events.append(event)
        self.moves += 1

    def answered(self, outcome: CredentialOutcome, *, overtaken: bool, last_word: bool) -> None:
        """What an answer means. One that a message has overtaken counts only for what the vault holds."""
        moved = outcome.generation > self.generation
        self.generation = max(self.generation, outcome.generation)
        if overtaken or outcome.verdict is Verdict.SUPERSEDED:
            flagged = self.status is ConnectionStatus.REAUTH_REQUIRED
            self.is_suspect = (moved and flagged and self.has_application) or (
                overtaken and not moved and self.is_suspect
            )
        elif outcome.verdict is Verdict.OK:
            self.accepted()
        elif outcome.verdict is Verdict.DEAD and last_word:
            self.refused(outcome.reason or ReauthReason.ACCESS_REVOKED)
        elif outcome.verdict is Verdict.UNSUPPORTED and last_word:
            self.is_suspect = False


class Answer(StrEnum):
    OK = "ok"
    DEAD = "dead"
    TRANSIENT = "transient"
    COME_LATER = "transient, with a time"
    CROWDED = "deferred"
    OUR_CLIENT_IS_WRONG = "application error"
    UNSUPPORTED = "unsupported"

    @property
    def is_trouble(self) -> bool:
        return self in (Answer.TRANSIENT, Answer.COME_LATER, Answer.CROWDED)


VERDICTS = {
    Answer.OK: Verdict.OK,
    Answer.DEAD: Verdict.DEAD,
    Answer.TRANSIENT: Verdict.TRANSIENT,
    Answer.COME_LATER: Verdict.TRANSIENT,
    Answer.CROWDED: Verdict.TRANSIENT,
    Answer.OUR_CLIENT_IS_WRONG: Verdict.APPLICATION_ERROR,
    Answer.UNSUPPORTED: Verdict.UNSUPPORTED,
}
WAITS = {Answer.COME_LATER: 900.0, Answer.CROWDED: 1800.0}


class Hold(StrEnum):
    """Which tries of a refresh wait before they are answered."""

    LOCAL = "the cheap first try"
    REMOTE = "the normal activity behind it"


@dataclass
class ModelledProvider(Provider):
    """A provider with a vault that counts generations; the model hears each of its answers."""

    model: Model = field(default_factory=Model)
    vault: int = 0
    refresh_says: Answer = Answer.OK
    probe_says: Answer = Answer.OK
    reason: ReauthReason = ReauthReason.ACCESS_REVOKED
    hold: Hold | None = None
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    released: asyncio.Event = field(default_factory=asyncio.Event)
    reminder_days: list[float] = field(default_factory=lambda: [0.4, 1.0, 3.0])
    is_in_trouble: bool = False  # since the last good answer

    @property
    def asked(self) -> int:
        return self.refreshes + self.probes

    def hold_back(self, hold: Hold) -> None:
        self.hold = hold
        self.reached.clear()
        self.released.clear()

    def release(self) -> None:
        self.hold = None
        self.released.set()

    @activity.defn(name=Activity.REFRESH)
    async def refresh(self, task: CredentialTask) -> CredentialOutcome:
        self.refreshes += 1
        moves, is_local, says = self.model.moves, activity.info().is_local, self.refresh_says
        if self.hold is Hold.REMOTE and is_local:
            says = Answer.CROWDED
        elif self.hold is not None:
            self.reached.set()
            await self.released.wait()
        return self._answer(task, says, moves, task.generation + 1, last_word=True)

    @activity.defn(name=Activity.PROBE)
    async def probe(self, task: CredentialTask) -> CredentialOutcome:
        self.probes += 1
        moves, last_word = self.model.moves, not self.lifetimes.renewable  # else a refresh has it
        return self._answer(task, self.probe_says, moves, task.generation, last_word=last_word)

    def _answer(
        self, task: CredentialTask, says: Answer, moves: int, generation: int, *, last_word: bool
    ) -> CredentialOutcome:
        verdict = VERDICTS[says]
        if task.generation != self.vault:
            verdict, generation = Verdict.SUPERSEDED, self.vault
        elif verdict is Verdict.OK:
            self.vault = generation
        else:
            generation = task.generation
        outcome = CredentialOutcome(
            verdict=verdict,
            generation=generation,
            lifetimes=self.lifetimes,
            reason=self.reason,
            retry_after=WAITS.get(says),
            deferred=says is Answer.CROWDED,
            note=says,
        )
        if verdict in (Verdict.OK, Verdict.SUPERSEDED):
            self.is_in_trouble = False
        self.is_in_trouble |= verdict is Verdict.TRANSIENT
        self.model.answered(outcome, overtaken=self.model.moves != moves, last_word=last_word)
        if verdict is Verdict.TRANSIENT and not activity.info().is_local:
            raise retryable(outcome)
        return outcome

    @activity.defn(name=Activity.RECORD_TRANSITION)
    async def record(self, task: TransitionTask) -> Recorded:
        """As the store does: what is recorded twice is there once."""
        if task.transition not in self.transitions:
            self.transitions.append(task.transition)
        return self.recorded(task.transition)
