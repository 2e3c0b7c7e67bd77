"""Tokens read over loopback as fast as an API process answers, beside a route of it that touches nothing."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, replace
from typing import Any

import httpx

from bench.callers import Load
from bench.lab import Lab, Site, answers
from bench.processes import Child, running
from bench.report import Part, spread
from bench.server import BARE
from dev.config import free_port
from store.api_keys import ApiKeys
from store.database import utc_now

ROUNDS = 15
SECONDS = 0.8  # of one stretch: short, so that neighbours share what else the machine does
CALLERS = (1, 16, 64)
CONNECTIONS = 64  # that are read in turn
LIFETIME = 3600.0  # no token is refreshed meanwhile: the worker and Temporal have no part in it
CACHES = {"uncached": "0", "cached for a second": "1"}


async def measure(lab: Lab) -> Part:
    async with AsyncExitStack() as stack:
        callers = await stack.enter_async_context(running(sys.executable, "-m", "bench.callers"))
        sites = {"SQLite": await stack.enter_async_context(lab.site("reads-sqlite"))}
        postgres = await lab.postgres()
        if postgres is not None:
            sites["PostgreSQL"] = await stack.enter_async_context(lab.site("reads-postgresql", postgres))
        loads = {}
        for store, site in sites.items():
            states = await site.seed(CONNECTIONS, LIFETIME, LIFETIME)
            paths = [f"/v1/connections/{state.ref.connection_id}/token" for state in states]
            key = await ApiKeys(site.made.database).add(site.scope, "bench", utc_now())
            for cache, seconds in CACHES.items():
                port = await stack.enter_async_context(_api(lab, site, seconds))
                loads[f"{store}, {cache}"] = Load(port, paths, {"x-api-key": key}, 1, SECONDS)
        for load in loads.values():
            await _put(callers, load)
        samples = [
            await _beside_bare(callers, what, replace(load, callers=count))
            for _ in range(ROUNDS)
            for what, load in loads.items()
            for count in CALLERS
        ]
    return Part(samples, _figures(samples))


@asynccontextmanager
async def _api(lab: Lab, site: Site, cache: str) -> AsyncIterator[int]:
    """An API process on a port of its own."""
    port = free_port()
    environment = {**site.environment, "EVERLINK_READ_CACHE_SECONDS": cache, "EVERLINK_PORT": str(port)}
    async with (
        running(sys.executable, "-m", "bench.server", env=environment, log=lab.folder / "api.log"),
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client,
    ):
        await answers(client)
        yield port


async def _beside_bare(callers: Child, what: str, load: Load) -> dict[str, Any]:
    bare = await _put(callers, replace(load, paths=[BARE]))
    tokens = await _put(callers, load)
    return {
        "what": what,
        "callers": load.callers,
        "tokens": tokens,
        "bare": bare,
        "ratio": tokens["reads_per_second"] / bare["reads_per_second"],
    }


async def _put(callers: Child, load: Load) -> dict[str, Any]:
    return await callers.ask(json.dumps(asdict(load)))


def _figures(samples: list[dict[str, Any]]) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    for what, count in dict.fromkeys((sample["what"], sample["callers"]) for sample in samples):
        mine = [sample for sample in samples if (sample["what"], sample["callers"]) == (what, count)]
        name = f"{what}, {count} callers"
        figures[f"{name}: reads/s"] = spread([sample["tokens"]["reads_per_second"] for sample in mine])
        figures[f"{name}: of the bare route's"] = spread([sample["ratio"] for sample in mine])
        figures[f"{name}: p50 ms"] = spread([sample["tokens"]["p50_ms"] for sample in mine])
        figures[f"{name}: p99 ms"] = spread([sample["tokens"]["p99_ms"] for sample in mine])
    figures["bare route, 16 callers: reads/s"] = spread(
        [sample["bare"]["reads_per_second"] for sample in samples if sample["callers"] == 16]
    )
    figures["reads that were not 200"] = sum(sample["tokens"]["not_200"] for sample in samples)
    return figures
