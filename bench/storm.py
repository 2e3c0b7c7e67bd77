"""A storm: connections that all expire within one minute, read all the time through a real API process."""

from __future__ import annotations

import asyncio
import sys
import time
from contextlib import AsyncExitStack
from itertools import cycle
from statistics import quantiles
from typing import Any

import httpx

from bench.lab import Lab, Site, answers
from bench.processes import running
from bench.report import Part
from everlink.contract import ConnectionState
from store.api_keys import ApiKeys
from store.database import utc_now

CONNECTIONS = 2000
BATCHES = 20  # each a twentieth of the connections, three seconds after the one before
FIRST_LIFETIME = 60.0  # seconds that the tokens of the first batch live; those of the last, a minute more
WITHIN_SECONDS = 57.0
RENEWED_LIFETIME = 3600.0
READS_PER_SECOND = 40  # each followed by the resource server's judgement: what two cores carry beside the rest
AFTER_SECONDS = 10.0  # reading goes on after the last token has expired


async def measure(lab: Lab) -> Part:
    postgres = await lab.postgres()
    async with AsyncExitStack() as stack:
        site = await stack.enter_async_context(lab.site("storm", postgres))
        await stack.enter_async_context(site.worker())
        api = running(sys.executable, "-m", "api", env=site.environment, log=lab.folder / "api.log")
        await stack.enter_async_context(api)
        key = await ApiKeys(site.made.database).add(site.scope, "bench", utc_now())
        url, limits = (
            f"http://127.0.0.1:{site.settings.port}",
            httpx.Limits(max_connections=500, keepalive_expiry=2),
        )  # the API's own is 5 seconds
        client = httpx.AsyncClient(base_url=url, headers={"x-api-key": key}, timeout=60, limits=limits)
        product = await stack.enter_async_context(client)
        await answers(product)
        before = (await lab.http.get("/stats")).json()
        started, states = time.monotonic(), await _expiring(site)
        await site.wake(states)
        woken = time.monotonic() - started
        samples = await _read_all(product, lab.http, states, FIRST_LIFETIME + WITHIN_SECONDS + AFTER_SECONDS - woken)
        stats = (await lab.http.get("/stats")).json()
    return Part(
        samples,
        _figures(
            samples,
            stats["granted"] - before["granted"],
            stats["refused"] - before["refused"],
            "PostgreSQL" if postgres else "SQLite",
        ),
    )


async def _expiring(site: Site) -> list[ConnectionState]:
    states: list[ConnectionState] = []
    for batch in range(BATCHES):
        lifetime = FIRST_LIFETIME + WITHIN_SECONDS * batch / (BATCHES - 1)
        states += await site.seed(CONNECTIONS // BATCHES, lifetime, RENEWED_LIFETIME)
    return states


async def _read_all(
    product: httpx.AsyncClient, judge: httpx.AsyncClient, states: list[ConnectionState], seconds: float
) -> list[dict[str, Any]]:
    """Read one connection after the other, by the clock: a slow answer does not slow the readers down."""
    loop, reads = asyncio.get_running_loop(), list[asyncio.Task[dict[str, Any]]]()
    started = loop.time()
    for number, state in enumerate(cycle(states)):
        due = started + number / READS_PER_SECOND
        if due > started + seconds:
            break
        await asyncio.sleep(max(0.0, due - loop.time()))
        reads.append(asyncio.create_task(_read(product, judge, state.ref.connection_id, due)))
    return list(await asyncio.gather(*reads))


async def _read(product: httpx.AsyncClient, judge: httpx.AsyncClient, connection_id: str, due: float) -> dict[str, Any]:
    loop = asyncio.get_running_loop()
    answer = await product.get(f"/v1/connections/{connection_id}/token")
    took = loop.time() - due
    if answer.status_code != 200:
        return {"seconds": took, "status": answer.status_code, "accepted": False}
    token = answer.json()["access_token"]
    verdict = await judge.get("/resource", headers={"authorization": f"Bearer {token}"})
    return {"seconds": took, "status": 200, "accepted": verdict.status_code == 200}


def _figures(samples: list[dict[str, Any]], refreshed: int, refused: int, store: str) -> dict[str, Any]:
    cuts = quantiles([sample["seconds"] for sample in samples], n=100)
    return {
        "store": store,
        "connections that expire within a minute": CONNECTIONS,
        "refreshes": refreshed,
        "refresh tokens refused": refused,
        "reads/s asked for": READS_PER_SECOND,
        "reads": len(samples),
        "reads that were not 200": sum(sample["status"] != 200 for sample in samples),
        "reads with a token that is not accepted": sum(not sample["accepted"] for sample in samples),
        "read, p50 seconds": cuts[49],
        "read, p99 seconds": cuts[98],
        "read, slowest seconds": max(sample["seconds"] for sample in samples),
    }
