"""Cycles per second and CPU per cycle: the empty loop against real refreshes, one after the other."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any
from uuid import uuid4

from bench.empty import EMPTY_LOOP
from bench.lab import Handle, Lab, Site, few_at_once
from bench.processes import Child, busy_share, core_times, cpu_seconds
from bench.report import Part, spread
from everlink.contract import TASK_QUEUE

PAIRS = 5
LOOPS = 300  # at a timer of a second each: more than two cores can carry, so that the CPU decides
TOKEN_SECONDS = 1.4  # a refresh is due after 0.9 to 1.05 seconds, as the empty loop's timer is after one
WARM_SECONDS = 5.0
MEASURED_SECONDS = 8.0


@dataclass(frozen=True)
class Sample:
    """One stretch of one loop; CPU in milliseconds per cycle."""

    loop: str
    cycles_per_second: float
    failures: int
    worker_cpu: float
    server_cpu: float
    cores_busy: float


async def measure(lab: Lab) -> Part:
    async with AsyncExitStack() as stack:
        sites = {"sqlite": await stack.enter_async_context(lab.site("sqlite"))}
        postgres = await lab.postgres()
        if postgres is not None:
            sites["postgresql"] = await stack.enter_async_context(lab.site("postgresql", postgres))
        workers = {name: await stack.enter_async_context(site.worker()) for name, site in sites.items()}
        samples = []
        for _ in range(PAIRS):
            async with cycling(partial(start_empty, sites["sqlite"])):
                samples.append(await observe(lab, workers["sqlite"], "empty"))
            for name, site in sites.items():
                async with cycling(partial(start_real, site)):
                    samples.append(await observe(lab, workers[name], name))
        stats = (await lab.http.get("/stats")).json()
    return Part([asdict(sample) for sample in samples], _figures(samples, list(sites), stats["refused"]))


@asynccontextmanager
async def cycling(start: Callable[[], Awaitable[list[Handle]]]) -> AsyncIterator[None]:
    """Loops that run inside and are gone after."""
    handles = await start()
    try:
        await asyncio.sleep(WARM_SECONDS)
        yield
    finally:
        await few_at_once(handle.terminate() for handle in handles)
        await asyncio.sleep(1)  # what is under way ends


async def start_empty(site: Site) -> list[Handle]:
    temporal = site.made.temporal
    return await few_at_once(
        temporal.start_workflow(EMPTY_LOOP, id=f"empty/{uuid4().hex}", task_queue=TASK_QUEUE) for _ in range(LOOPS)
    )


async def start_real(site: Site) -> list[Handle]:
    return await site.wake(await site.seed(LOOPS, TOKEN_SECONDS, TOKEN_SECONDS))


async def observe(lab: Lab, worker: Child, loop: str) -> Sample:
    before, cores = await worker.ask("count"), core_times()
    worker_cpu, server_cpu, started = cpu_seconds(worker.pid), cpu_seconds(lab.server.pid), time.monotonic()
    await asyncio.sleep(MEASURED_SECONDS)
    seconds = time.monotonic() - started
    worker_cpu, server_cpu = cpu_seconds(worker.pid) - worker_cpu, cpu_seconds(lab.server.pid) - server_cpu
    after = await worker.ask("count")
    cycles = after.get("cycles", 0) - before.get("cycles", 0)
    return Sample(
        loop=loop,
        cycles_per_second=cycles / seconds,
        failures=after.get("failures", 0) - before.get("failures", 0),
        worker_cpu=1000 * worker_cpu / max(1, cycles),
        server_cpu=1000 * server_cpu / max(1, cycles),
        cores_busy=busy_share(cores, core_times()),
    )


def _figures(samples: list[Sample], stores: list[str], refused: int) -> dict[str, Any]:
    def of(loop: str, name: str) -> list[float]:
        return [getattr(sample, name) for sample in samples if sample.loop == loop]

    figures: dict[str, Any] = {}
    empty = of("empty", "cycles_per_second")
    for loop in ("empty", *stores):
        figures[f"{loop}: cycles/s"] = spread(of(loop, "cycles_per_second"))
        figures[f"{loop}: worker CPU, ms a cycle"] = spread(of(loop, "worker_cpu"))
        figures[f"{loop}: server CPU, ms a cycle"] = spread(of(loop, "server_cpu"))
    for store in stores:
        pairs = zip(of(store, "cycles_per_second"), empty, strict=True)
        figures[f"{store}: real / empty"] = spread([real / plain for real, plain in pairs])
    figures["cores busy"] = spread([sample.cores_busy for sample in samples])
    figures["failed refreshes"] = sum(sample.failures for sample in samples)
    figures["refresh tokens refused"] = refused
    return figures
