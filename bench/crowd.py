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
from typing import Any

from bench import metrics
from bench.lab import few_at_once, free_port
from bench.processes import Child, cpu_seconds
from bench.server import REQUESTS
from bench.user import LocalSync
from bench.waits import World

WAITING, CONNECTIONS = 10_000, 1_000
TOGETHER = 500  # of them on one connection more
QUIET_SECONDS = 30.0
ASKING, POLL_SECONDS = 200, 15.0  # those that wait by asking the API, and the plugin's default between two looks
SLOTS = "temporal_worker_task_slots_used"
TASKS = {
    "workflow": "temporal_workflow_task_execution_latency_count",
    "activity": "temporal_activity_execution_latency_count",
    "local activity": "temporal_local_activity_execution_latency_count",
    "Nexus": "temporal_nexus_task_execution_latency_count",
}
KIB = 1024


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

    async def window(self, name: str) -> dict[str, Any]:
        """What happens while nothing should."""
        memory = {who: (await child.ask("memory"))["resident"] for who, child in self._workers.items()}
        before, cpu = await self._counts(), self._cpu()
        until, slots = time.monotonic() + QUIET_SECONDS, 0
        while time.monotonic() < until:
            await asyncio.sleep(1)
            slots = max(slots, round(await self._metric(SLOTS)))
        after = await self._counts()
        counts = {what: now - before[what] for what, now in after.items()}
        counts["API requests"] -= 1  # the first of the two counts
        used = {who: (now - cpu[who]) / QUIET_SECONDS for who, now in self._cpu().items()}
        return {"window": name, "slots": slots, "counts": counts, "cpu": used, "memory": memory}

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


async def through_nexus(world: World) -> list[dict[str, Any]]:
    port = free_port()
    async with world.users_worker("--nexus", f"--metrics={port}") as user:
        watched = Watched(world, user, port)
        one, *others = await world.revoked(CONNECTIONS + 1)
        [credential] = await world.credentials(1)
        await world.until_wait(0)
        samples = [await watched.window("nothing waits")]
        started = time.monotonic()
        waiting_for = chain([one] * TOGETHER, islice(cycle(others), WAITING - TOGETHER))
        handles = await few_at_once(world.start(LocalSync.__name__, of.ref.connection_id) for of in waiting_for)
        await world.until_wait(WAITING)
        samples.append({"waiting": WAITING, "seconds": time.monotonic() - started})
        samples.append(await watched.window("all wait"))
        histories, runs = world.histories(), Counter(await user.ask("runs"))
        began = time.time()
        await world.reconnect(one, credential)
        ran_at = await few_at_once(handle.result() for handle in handles[:TOGETHER])
        await world.until_wait(WAITING - TOGETHER)
        ran = Counter(await user.ask("runs"))
        ran.subtract(runs)
        grown = {run for run, length in world.histories().items() if length != histories.get(run)}
        samples.append(
            {
                "resumed": ran[one.ref.connection_id],
                "others that ran": sum(ran.values()) - ran[one.ref.connection_id],
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
        window = await Watched(world, user, port).window("all ask the API")
        await few_at_once(handle.terminate() for handle in handles)
    return window


def figures(samples: list[dict[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for sample in samples:
        match sample:
            case {"window": name}:
                found[f"{name}: slots used, at most"] = sample["slots"]
                found |= {f"{name}: {what}/s": value / QUIET_SECONDS for what, value in sample["counts"].items()}
                found |= {f"{name}: cores busy, {who}": value for who, value in sample["cpu"].items()}
                found |= {f"{name}: memory, {who}, MiB": value / KIB**2 for who, value in sample["memory"].items()}
            case {"waiting": count}:
                found["workflows waiting"] = count
                found["workflows/s, start to wait"] = count / sample["seconds"]
            case {"resumed": resumed}:
                delays = sorted(sample["delays"])
                found[f"resumed by one reconnect, of {TOGETHER}"] = resumed
                found[f"others that ran, of {WAITING - TOGETHER}"] = sample["others that ran"]
                found["histories that grew: each of both sides, the connection's"] = sample["histories that grew"]
                found["seconds until half have resumed"] = delays[len(delays) // 2]
                found["seconds until the last has resumed"] = delays[-1]
    return found
