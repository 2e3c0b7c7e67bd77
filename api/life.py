"""A connection's life as a picture: from its transitions to stretches, marks and ticks along one line of time.

Places are in percent of the picture's width, so that it can be as wide as the screen is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from everlink.contract import ConnectionStatus, EventType, Health, ReauthReason
from store.renewals import Renewals
from store.tables import TransitionRow

TOO_CLOSE = 2.4  # percent; marks of a kind that are closer are drawn as one
SHORTEST = timedelta(seconds=1)  # a life that has just begun
MOST_TICKS = 6
STEPS = [
    *(timedelta(seconds=count) for count in (1, 5, 15)),
    *(timedelta(minutes=count) for count in (1, 5, 15)),
    *(timedelta(hours=count) for count in (1, 3, 6, 12)),
    *(timedelta(days=count) for count in (1, 2, 7, 14, 30, 91, 182, 365, 1826)),
]


class Phase(StrEnum):
    """How a connection was for a while."""

    PENDING = "pending"
    ACTIVE = "active"
    DEGRADED = "degraded"
    REAUTH_REQUIRED = "reauth_required"


class Happening(StrEnum):
    """What a transition, or a refresh, is to an operator; the value is what is read."""

    CONNECTED = "Connected"
    RECONNECTED = "Reconnected"
    EXPIRED = "Expired"
    DEGRADED = "Refreshes began to fail"
    OUTAGE = "In the outage of its application"
    RECOVERED = "Recovered"
    ENDING = "The grant ends soon"
    REMINDED = "Reminder sent"
    ENDED = "Disconnected"
    NOTED = "Noted"
    REFRESHED = "Refreshed last"
    TRIED = "Tried without success"

    @property
    def lane(self) -> str:
        """Where it stands in the picture: those of one lane rarely come together."""
        return _LANES.get(self, "life")


GRANTS = (Happening.CONNECTED, Happening.RECONNECTED)
_LANES = {
    Happening.EXPIRED: "trouble",
    Happening.DEGRADED: "trouble",
    Happening.OUTAGE: "trouble",
    Happening.ENDING: "told",
    Happening.REMINDED: "told",
    Happening.NOTED: "told",
    Happening.REFRESHED: "credential",
    Happening.TRIED: "tries",
}
_OF_EVENTS = {
    EventType.CREATED.value: Happening.CONNECTED,
    EventType.REAUTHENTICATED.value: Happening.RECONNECTED,
    EventType.EXPIRED.value: Happening.EXPIRED,
    EventType.EXPIRING.value: Happening.ENDING,
    EventType.EXPIRED_REMINDER.value: Happening.REMINDED,
    EventType.DELETED.value: Happening.ENDED,
    EventType.DEGRADED.value: Happening.DEGRADED,
    EventType.RECOVERED.value: Happening.RECOVERED,
}


@dataclass(frozen=True)
class Change:
    """A transition in words."""

    at: datetime
    what: Happening
    why: str


@dataclass(frozen=True)
class Stretch:
    phase: Phase
    since: datetime
    until: datetime
    x: float
    width: float


@dataclass(frozen=True)
class Mark:
    what: Happening
    at: datetime  # of the last, where it stands for several
    x: float
    count: int = 1


@dataclass(frozen=True)
class Tick:
    x: float
    words: str


@dataclass(frozen=True)
class Picture:
    began: datetime
    until: datetime
    stretches: list[Stretch]
    marks: list[Mark]
    ticks: list[Tick]

    def share(self, phase: Phase | str) -> float:
        """Percent of the life since it was connected that were so."""
        lived = sum(one.width for one in self.stretches if one.phase != Phase.PENDING)
        return 100 * sum(one.width for one in self.stretches if one.phase == phase) / lived if lived else 0.0

    @property
    def happened(self) -> list[Happening]:
        """Which marks there are: what a legend has to explain."""
        drawn = {mark.what for mark in self.marks}
        return [one for one in Happening if one in drawn]

    def count(self, what: Happening) -> int:
        return sum(mark.count for mark in self.marks if mark.what is what)


def changes(transitions: Sequence[TransitionRow]) -> list[Change]:
    """Each transition as what it was, oldest first."""
    found, before = list[Change](), Health.OK
    for row in transitions:
        reason = ReauthReason(row.reason).words if row.reason else ""
        repeats = row.event == EventType.EXPIRED_REMINDER  # why it expired is said where it did
        why = "; ".join(part for part in ("" if repeats else reason, row.note) if part)
        found.append(Change(row.at, _happening(row, before), why))
        before = Health(row.health)
    return found


def draw(began: datetime, transitions: Sequence[TransitionRow], renewals: Renewals | None, now: datetime) -> Picture:
    """The picture from the first moment to now, or to the end."""
    ended = next((row.at for row in transitions if row.status == ConnectionStatus.DISCONNECTED), None)
    until = max(ended or now, began + SHORTEST)
    line = _Line(began, until)
    events = [(one.at, one.what) for one in changes(transitions)]
    if renewals is not None:
        events += [(one.at, Happening.TRIED) for one in renewals.tries]
        granted = max((at for at, what in events if what in GRANTS), default=began)
        if renewals.updated_at > granted:  # a grant is stored before its transition is written
            events.append((renewals.updated_at, Happening.REFRESHED))
    return Picture(
        began=began,
        until=until,
        stretches=list(_stretches(line, transitions)),
        marks=list(_marks(line, events)),
        ticks=list(_ticks(line)),
    )


def lasting(length: timedelta) -> str:
    """A duration in its two largest units."""
    seconds = max(0, round(length.total_seconds()))
    parts = list[str]()
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        count, seconds = divmod(seconds, size)
        if count or parts:
            parts.append(f"{count} {unit}" if count else "")
        if len(parts) == 2:
            break
    return " ".join(part for part in parts if part) or "0 s"


@dataclass(frozen=True)
class _Line:
    began: datetime
    until: datetime

    @property
    def length(self) -> timedelta:
        return self.until - self.began

    def x(self, at: datetime) -> float:
        """Clocks of two processes differ: what lies outside is drawn at the edge."""
        return round(100 * min(1.0, max(0.0, (at - self.began) / self.length)), 3)


def _happening(row: TransitionRow, before: Health) -> Happening:
    if row.event is not None:
        return _OF_EVENTS[row.event]
    # A change of health that the connection did not announce itself is part of its application's outage.
    if row.status == ConnectionStatus.ACTIVE and row.health != before:
        return Happening.OUTAGE if row.health == Health.DEGRADED else Happening.RECOVERED
    return Happening.NOTED


def _phase(row: TransitionRow) -> Phase | None:
    if row.status == ConnectionStatus.DISCONNECTED:
        return None
    if row.status == ConnectionStatus.ACTIVE and row.health == Health.DEGRADED:
        return Phase.DEGRADED
    return Phase(row.status)


def _stretches(line: _Line, transitions: Sequence[TransitionRow]) -> Iterator[Stretch]:
    """One after the other; what lasts no moment is left out, and neighbours of one phase are one."""
    phase, since = Phase.PENDING, line.began
    for at, following in [*((row.at, _phase(row)) for row in transitions), (line.until, None)]:
        if following is phase:
            continue
        x, end = line.x(since), line.x(at)
        if at > since:
            yield Stretch(phase, since, at, x, round(end - x, 3))
        if following is None:
            return
        phase, since = following, max(since, at)


def _marks(line: _Line, events: Sequence[tuple[datetime, Happening]]) -> Iterator[Mark]:
    for what in Happening:
        held: Mark | None = None
        first = 0.0
        for at in sorted(at for at, kind in events if kind is what):
            x = line.x(at)
            if held is not None and x - first < TOO_CLOSE:
                held = Mark(what, at, held.x, held.count + 1)
                continue
            if held is not None:
                yield held
            held, first = Mark(what, at, x), x
        if held is not None:
            yield held


def _ticks(line: _Line) -> Iterator[Tick]:
    """At round moments, a few, and none so close to an edge that its words would be cut off."""
    step = next((step for step in STEPS if line.length / step <= MOST_TICKS), STEPS[-1])
    seconds = step.total_seconds()
    at = (line.began.timestamp() // seconds + 1) * seconds
    while at < line.until.timestamp():
        moment = datetime.fromtimestamp(at, UTC)
        if 4 <= (x := line.x(moment)) <= 96:
            yield Tick(x, moment.strftime(_format(step, moment)))
        at += seconds


def _format(step: timedelta, moment: datetime) -> str:
    """As short as it is clear beside its neighbours."""
    if step >= timedelta(days=91):
        return "%b %Y"
    if step >= timedelta(days=1) or (moment.hour, moment.minute, moment.second) == (0, 0, 0):
        return "%-d %b"
    return "%H:%M" if step >= timedelta(minutes=1) else "%H:%M:%S"
