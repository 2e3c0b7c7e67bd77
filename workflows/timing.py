"""When a connection's next refresh, probe, notice or reminder is due. Pure functions of durations."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from random import Random

from everlink.contract import Lifetimes

MAX_MARGIN = timedelta(minutes=15).total_seconds()
DAY = timedelta(days=1).total_seconds()
MINUTE = timedelta(minutes=1).total_seconds()

FIRST_BACKOFF = MINUTE
MAX_BACKOFF = timedelta(hours=1).total_seconds()
APPLICATION_BACKOFF = timedelta(minutes=15).total_seconds()  # once the client is corrected, all go on that soon

PROLONGED = timedelta(days=1)  # by less, it is the same end, seen by another clock
NOTICE_DAYS = (30, 7, 1)  # before the end of a grant that only the customer can renew
DEGRADED_AFTER = timedelta(minutes=10)  # of trouble
DEGRADED_AGAIN_AFTER = timedelta(hours=1)  # of trouble, where it comes back soon: one storm is one announcement
CALM_AFTER = timedelta(hours=6)


def refresh_margin(lifetimes: Lifetimes, expires_in: float) -> float:
    """Seconds before expiry at which a refresh is due: a quarter of the lifetime, at most 15 minutes."""
    if lifetimes.refresh_margin is not None:
        return min(lifetimes.refresh_margin, expires_in / 2)
    return min(MAX_MARGIN, expires_in / 4)


def seconds_until_due(lifetimes: Lifetimes, random: Random) -> float:
    """Seconds until the next refresh or probe, spread by jitter so that a fleet does not come at once."""
    due = _by_the_access_token(lifetimes, random)
    if lifetimes.renewable and lifetimes.idle_window is not None:
        due = min(due, lifetimes.idle_window * random.uniform(0.5, 0.75))
    if lifetimes.ends_in is not None and lifetimes.ends_in > 0:
        # A grant that a refresh prolongs must not end first; where nothing prolongs it, its end is looked at.
        end = max(MINUTE, lifetimes.ends_in * 0.75) if lifetimes.renewable else max(1.0, lifetimes.ends_in)
        due = min(due, end)
    return due


def next_notice(ends_at: datetime, now: datetime, last: int | None) -> datetime | None:
    """When to announce the end of a grant next, after the notice of `last` days; None where none is left.

    What lies behind already is left out: a shorter life gets the notices that fit into it.
    """
    for days in NOTICE_DAYS:
        at = ends_at - timedelta(days=days)
        if at > now and (last is None or days < last):
            return at
    return None


def reminders_passed(expired_at: datetime, days: Sequence[float], now: datetime) -> int:
    """How many lie behind: after a time in which nobody could remind, one stands for all of them."""
    return sum(expired_at + timedelta(days=day) <= now for day in days)


def days_ahead(ends_at: datetime, now: datetime) -> int:
    """Which notice this moment is."""
    return min(days for days in NOTICE_DAYS if ends_at - timedelta(days=days) <= now)


def is_worth_telling(
    troubled_since: datetime, recovered_at: datetime | None, expires_at: datetime | None, now: datetime
) -> bool:
    """Whether trouble makes a connection degraded: it lasts, or reads fail by now; later where it comes back soon."""
    if recovered_at is not None and now - recovered_at < CALM_AFTER:
        return now - troubled_since >= DEGRADED_AGAIN_AFTER
    return now - troubled_since >= DEGRADED_AFTER or (expires_at is not None and expires_at <= now)


def _by_the_access_token(lifetimes: Lifetimes, random: Random) -> float:
    if lifetimes.expires_in is None:
        return (lifetimes.probe_every or DAY) * random.uniform(0.9, 1.1)
    if not lifetimes.renewable:
        return lifetimes.expires_in
    margin = refresh_margin(lifetimes, lifetimes.expires_in)
    # Jitter only ever moves a refresh ahead: half a margin, and never more than a tenth of the life.
    early = random.uniform(0, min(margin / 2, lifetimes.expires_in / 10))
    return max(0.0, lifetimes.expires_in - margin - early)


def backoff(failures: int, retry_after: float | None, random: Random, longest: float = MAX_BACKOFF) -> float:
    """Seconds until the next round after this many failed ones.

    A provider's Retry-After counts up to an hour; the first time it counts alone.
    """
    step = failures - 1 if retry_after is None else failures - 2
    planned = 0.0 if step < 0 else min(longest, FIRST_BACKOFF * 2.0 ** min(step, 10))
    asked = min(MAX_BACKOFF, retry_after or 0.0)
    return max(planned, asked) * random.uniform(1.0, 1.2)
