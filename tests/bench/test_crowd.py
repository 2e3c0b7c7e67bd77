"""A small crowd of waiting workflows, on all of Everlink, as the bench measures a big one."""

from __future__ import annotations

from pathlib import Path

from bench.crowd import Crowd, through_nexus
from bench.lab import laboratory
from bench.waits import world


async def test_those_who_wait_cost_nothing_and_one_reconnect_wakes_its_own_only(tmp_path: Path) -> None:
    crowd = Crowd(waiting=90, connections=12, together=30, quiet_seconds=5)
    async with laboratory(tmp_path) as lab, world(lab) as waits:
        _, begun, quiet, woken = await through_nexus(waits, crowd)
    assert begun["waiting"] == 90
    assert quiet["slots"] == 0 and not any(quiet["counts"].values()), quiet
    assert (woken["resumed"], woken["others that ran"]) == (30, 0)
    assert woken["histories that grew"] == 2 * 30 + 1  # each one's on both sides, and the connection's
