"""Everything that Everlink needs from outside, looked at one after the other; nothing is changed."""

from __future__ import annotations

from collections.abc import AsyncIterator

from doctor import configuration, database, temporal
from doctor.findings import Finding
from store.settings import Settings


async def examine(settings: Settings) -> AsyncIterator[Finding]:
    """What cannot be looked at, because what it stands on is away, is left out."""
    for finding in configuration.examine(settings):
        yield finding
    async for finding in database.examine(settings):
        yield finding
    async for finding in temporal.examine(settings):
        yield finding
