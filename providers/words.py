"""How long an application's grants live, in words."""

from __future__ import annotations

from providers.entry import Definition

DAY = 86400.0
# A month is a twelfth of a year, as in a provider's "18 months".
UNITS = (
    (365 * DAY, "year"),
    (365 * DAY / 12, "month"),
    (DAY, "day"),
    (3600.0, "hour"),
    (60.0, "minute"),
    (1.0, "second"),
)


def duration(seconds: float) -> str:
    """In the largest unit that it is a whole number of."""
    size, unit = next(((size, unit) for size, unit in UNITS if seconds >= size and seconds % size == 0), UNITS[-1])
    return f"{seconds / size:g} {unit}{'' if seconds == size else 's'}"


def lifetimes(known: Definition) -> list[str]:
    """What of it is known; nothing where the provider's answers say it each time."""
    oauth2, found = known.oauth2, []
    if oauth2 is not None and oauth2.access_token_seconds is not None:
        found.append(f"an access token lives for {duration(oauth2.access_token_seconds)}")
    if oauth2 is not None and oauth2.idle_seconds is not None:
        found.append(f"a refresh token that is not used for {duration(oauth2.idle_seconds)} ends")
    if oauth2 is not None and oauth2.grant_seconds is not None:
        found.append(f"the customer has to consent again after {duration(oauth2.grant_seconds)}")
    if known.probe is not None and known.probe.every_seconds is not None:
        found.append(f"it is tried every {duration(known.probe.every_seconds)}")
    return found
