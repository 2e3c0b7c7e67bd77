"""What a crowd of waiting workflows costs: through Nexus, and by asking the API; and whom one reconnect wakes.

The workflows meet the dead connection in a local activity, so that ten thousand have begun to wait sooner. Costs are
those of a window in which nobody reconnects, beside the same window before anything waited.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, cycle, islice
from statistics import median
from typing import Any

from bench import metrics
from bench.lab import few_at_once
from bench.processes import Child, cpu_seconds
from bench.server import REQUESTS
from bench.user import LocalSync
from bench.waits import World
from dev.config import free_port

ASKING, POLL_SECONDS = 200, 15.0  # those that wait by asking the API, and the plugin's default between two looks
ASKING_SECONDS = 2 * POLL_SECONDS
SLOTS = "temporal_worker_task_slots_used"
TASKS = {
    "workflow": "temporal_workflow_task_execution_latency_count",
    "activity": "temporal_activity_execution_latency_count",
    "local activity": "temporal_local_activity_execution_latency_count",
    "Nexus": "temporal_nexus_task_execution_latency_count",
}
KIB = 1024


@dataclass(frozen=True)
class Crowd:
    """How many wait through Nexus, and how long nobody reconnects."""

    waiting: int = 10_000
    connections: int = 1_000
    together: int = 500  # of those that wait, on one connection more
    quiet_seconds: float = 20.0


@dataclass(frozen=True)
class Watched:
    """What is looked at while workflows wait."""

    world: World
    user: Child
    user_metrics: int  # the port

    @property
    def processes(self) -> dict[str, int]:
        return {
            "user's worker": self.user.pid,
            "Everlink's worker": self.world.worker.pid,
            "API": self.world.api_process.pid,
            "Temporal": self.world.lab.server.pid,
        }

    async def window(self, name: str, seconds: float) -> dict[str, Any]:
        """What happens while nothing should."""
        memory = {who: (await child.ask("memory"))["resident"] for who, child in self._workers.items()}
        before, cpu = await self._counts(), self._cpu()
        until, slots = time.monotonic() + seconds, 0
        while time.monotonic() < until:
            await asyncio.sleep(1)
            slots = max(slots, round(await self._metric(SLOTS)))
        after = await self._counts()
        counts = {what: now - before[what] for what, now in after.items()}
        counts["API requests"] -= 1  # the first of the two counts
        used = {who: now - cpu[who] for who, now in self._cpu().items()}
        return {"window": name, "seconds": seconds, "slots": slots, "counts": counts, "cpu": used, "memory": memory}

    @property
    def _workers(self) -> dict[str, Child]:
        return {"user's worker": self.user, "Everlink's worker": self.world.worker}

    async def _counts(self) -> dict[str, int]:
        return {
            **{f"{kind} tasks": round(await self._metric(name)) for kind, name in TASKS.items()},
            "API requests": int((await self.world.api.get(REQUESTS)).text),
            "batches of history events": sum(self.world.histories().values()),
        }

    async def _metric(self, name: str) -> float:
        """Of both workers, whatever the labels."""
        ports = (self.user_metrics, self.world.worker_metrics)
        read = [await metrics.read(self.world.lab.http, port) for port in ports]
        return sum(value for one in read for (what, _), value in one.items() if what == name)

    def _cpu(self) -> dict[str, float]:
        return {who: cpu_seconds(pid) for who, pid in self.processes.items()}


async def through_nexus(world: World, crowd: Crowd) -> list[dict[str, Any]]:
    port = free_port()
    async with world.users_worker("--nexus", f"--metrics={port}") as user:
        watched = Watched(world, user, port)
        one, *others = await world.revoked(1 + crowd.connections)
        await world.until_wait(0)
        samples = [await watched.window("nothing waits", crowd.quiet_seconds)]
        started = time.monotonic()
        waiting_for = chain([one] * crowd.together, islice(cycle(others), crowd.waiting - crowd.together))
        handles = await few_at_once(world.start(LocalSync.__name__, of.ref.connection_id) for of in waiting_for)
        await world.until_wait(crowd.waiting)
        samples.append({"waiting": crowd.waiting, "seconds": time.monotonic() - started})
        samples.append(await watched.window("all wait", crowd.quiet_seconds))
        histories, runs = world.histories(), Counter(await user.ask("runs"))
        [credential] = await world.credentials(1)
        began = time.time()
        await world.reconnect(one, credential)
        ran_at = await few_at_once(handle.result() for handle in handles[: crowd.together])
        await world.until_wait(crowd.waiting - crowd.together)
        ran = Counter(await user.ask("runs"))
        ran.subtract(runs)
        grown = {run for run, length in world.histories().items() if length != histories.get(run)}
        resumed = ran.pop(one.ref.connection_id)
        samples.append(
            {
                "resumed": resumed,
                "others that ran": sum(ran.values()),
                "histories that grew": len(grown),
                "delays": [at - began for at in ran_at],
            }
        )
    return samples


async def by_asking(world: World) -> dict[str, Any]:
    port = free_port()
    async with world.users_worker(f"--poll={POLL_SECONDS}", f"--metrics={port}") as user:
        connections = [state.ref.connection_id for state in await world.revoked(ASKING // 10)]
        of: Iterator[str] = islice(cycle(connections), ASKING)
        handles = await few_at_once(world.start(LocalSync.__name__, connection_id) for connection_id in of)
        async with asyncio.timeout(300):
            while sum((await user.ask("runs")).values()) < ASKING:
                await asyncio.sleep(0.5)
        window = await Watched(world, user, port).window(f"{ASKING} ask the API", ASKING_SECONDS)
        await few_at_once(handle.terminate() for handle in handles)
    return window


def figures(samples: list[dict[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for sample in samples:
        match sample:
            case {"window": name, "seconds": seconds}:
                found[f"{name}: slots used, at most"] = sample["slots"]
                found |= {f"{name}: {what}/s": value / seconds for what, value in sample["counts"].items()}
                found |= {f"{name}: cores busy, {who}": value / seconds for who, value in sample["cpu"].items()}
                found |= {f"{name}: memory, {who}, MiB": value / KIB**2 for who, value in sample["memory"].items()}
            case {"waiting": waiting, "seconds": seconds}:
                found["workflows that wait"] = waiting
                found["workflows/s that begin to wait"] = waiting / seconds
            case {"resumed": resumed, "delays": delays}:
                found["resumed by one reconnect"] = resumed
                found["others that ran"] = sample["others that ran"]
                found["histories that grew"] = sample["histories that grew"]
                found["seconds from that reconnect to half of them"] = median(delays)
                found["seconds from that reconnect to the last"] = max(delays)
    return found
