"""When a connection's next refresh or probe is due. Pure functions of durations."""

from __future__ import annotations

from datetime import timedelta
from random import Random

from everlink.contract import Lifetimes

MAX_MARGIN = timedelta(minutes=15).total_seconds()
DAY = timedelta(days=1).total_seconds()

FIRST_BACKOFF = timedelta(minutes=1).total_seconds()
MAX_BACKOFF = timedelta(hours=1).total_seconds()


def refresh_margin(lifetimes: Lifetimes, expires_in: float) -> float:
    """Seconds before expiry at which a refresh is due: a quarter of the lifetime, at most 15 minutes."""
    if lifetimes.refresh_margin is not None:
        return min(lifetimes.refresh_margin, expires_in / 2)
    return min(MAX_MARGIN, expires_in / 4)


def seconds_until_due(lifetimes: Lifetimes, random: Random) -> float:
    """Seconds until the next refresh or probe, spread by jitter so that a fleet does not come at once."""
    if lifetimes.expires_in is None:
        return (lifetimes.probe_every or DAY) * random.uniform(0.9, 1.1)
    if not lifetimes.renewable:
        return lifetimes.expires_in
    margin = refresh_margin(lifetimes, lifetimes.expires_in)
    # Jitter only ever moves a refresh ahead: half a margin, and never more than a tenth of the life.
    early = random.uniform(0, min(margin / 2, lifetimes.expires_in / 10))
    return max(0.0, lifetimes.expires_in - margin - early)


def backoff(failures: int, retry_after: float | None, random: Random) -> float:
    """Seconds until the next round after this many failed ones; a provider's Retry-After counts up to an hour."""
    planned = min(MAX_BACKOFF, FIRST_BACKOFF * 2.0 ** min(failures - 1, 10))
    asked = min(MAX_BACKOFF, retry_after or 0.0)
    return max(planned, asked) * random.uniform(1.0, 1.2)
