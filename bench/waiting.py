"""Users' workflows that wait for their customers: how soon they go on, and what they cost while they wait."""

from __future__ import annotations

from bench import crowd, resuming
from bench.lab import Lab
from bench.report import Part
from bench.waits import world


async def measure(lab: Lab) -> Part:
    async with world(lab) as waits:
        pairs = await resuming.latencies(waits)
        waiting = [*await crowd.through_nexus(waits, crowd.Crowd()), await crowd.by_asking(waits)]
    return Part([*pairs, *waiting], resuming.figures(pairs) | crowd.figures(waiting))
