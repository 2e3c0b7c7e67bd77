"""From the news that a grant is revoked to the webhook that says so; and how many of these there are in a second.

Beside each: the least that a Temporal server can do, a signal upon which a workflow runs one activity.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from statistics import quantiles
from typing import Any
from uuid import uuid4

import httpx
from temporalio.api.enums.v1 import EventType as HistoryEvent

from bench.empty import SIGNALLED, Signalled
from bench.lab import Handle, Lab, Site, answers, few_at_once
from bench.listener import Listener, listening
from bench.processes import running
from bench.report import Part
from everlink.contract import (
    TASK_QUEUE,
    ConnectionState,
    EventType,
    ProviderEvent,
    ProviderEventKind,
    Signal,
    connection_workflow_id,
    delivery_workflow_id,
)
from store.api_keys import ApiKeys
from store.database import utc_now

PAIRS, WARM = 200, 20  # the first are not counted
BURST = 200  # connections that are revoked at once
LISTENERS = (1, 4)
LIFETIME = 3600.0  # nothing is refreshed meanwhile
ENDPOINTS = "/v1/webhook-endpoints"
LEGS = ("API", "signal to record", "record and start", "start to attempt", "attempt to arrival")


@dataclass(frozen=True)
class Bench:
    """What is measured: a site with its worker and API, and a product of it."""

    site: Site
    product: httpx.AsyncClient

    async def subscribe(self, listener: Listener) -> str:
        """The id of an endpoint to which every expiry goes."""
        created = await self.product.post(ENDPOINTS, json={"url": listener.url, "events": [EventType.EXPIRED]})
        return str(created.raise_for_status().json()["id"])

    async def unsubscribe(self, endpoint_id: str) -> None:
        (await self.product.delete(f"{ENDPOINTS}/{endpoint_id}")).raise_for_status()


async def measure(lab: Lab) -> Part:
    postgres = await lab.postgres()
    stores = {"SQLite": None} | ({"PostgreSQL": postgres} if postgres is not None else {})
    samples: list[dict[str, Any]] = []
    for store, server in stores.items():
        async with AsyncExitStack() as stack:
            site = await stack.enter_async_context(lab.site(f"webhooks-{store.lower()}", server))
            await stack.enter_async_context(site.worker())
            log = lab.folder / "api.log"
            await stack.enter_async_context(running(sys.executable, "-m", "api", env=site.environment, log=log))
            key = await ApiKeys(site.made.database).add(site.scope, "bench", utc_now())
            url, headers = f"http://127.0.0.1:{site.settings.port}", {"x-api-key": key}
            product = await stack.enter_async_context(httpx.AsyncClient(base_url=url, headers=headers, timeout=60))
            await answers(product)
            bench = Bench(site, product)
            samples += [{"store": store, **sample} for sample in await _latencies(bench)]
            for count in LISTENERS:
                samples.append({"store": store, "listeners": count, **await _burst(bench, count)})
    return Part(samples, _figures(samples))


async def _latencies(bench: Bench) -> list[dict[str, Any]]:
    """Pairs of neighbours in time, in turn the one and the other first; each begins when all before it has ended."""
    states = await bench.site.seed(WARM + PAIRS, LIFETIME, LIFETIME)
    await bench.site.wake(states)
    bare = await few_at_once(_waiting(bench.site) for _ in states)
    samples = list[dict[str, Any]]()
    async with listening() as listener:
        endpoint_id = await bench.subscribe(listener)
        for number, (state, handle) in enumerate(zip(states, bare, strict=True)):
            if number % 2:
                told = await _bare(handle)
                samples.append(told | await _webhook(bench, listener, endpoint_id, state))
            else:
                told = await _webhook(bench, listener, endpoint_id, state)
                samples.append(told | await _bare(handle))
        await bench.unsubscribe(endpoint_id)
    return samples[WARM:]


async def _waiting(site: Site) -> Handle:
    """An empty workflow that waits for its signal."""
    handle: Handle = await site.made.temporal.start_workflow(
        SIGNALLED, id=f"signalled/{uuid4().hex}", task_queue=TASK_QUEUE, result_type=float
    )
    return handle


async def _bare(handle: Handle) -> dict[str, float]:
    started = time.time()
    await handle.signal(Signalled.go)
    ran_at = await handle.result()
    return {"activity": ran_at - started, "round_trip": time.time() - started}


async def _webhook(bench: Bench, listener: Listener, endpoint_id: str, state: ConnectionState) -> dict[str, Any]:
    started, path = time.time(), f"/v1/connections/{state.ref.connection_id}/report"
    (await bench.product.post(path, json={"event": ProviderEventKind.REVOKED})).raise_for_status()
    arrival = await listener.arrivals.get()
    temporal = bench.site.made.temporal
    delivery = temporal.get_workflow_handle(delivery_workflow_id(arrival.event_id, endpoint_id))
    await delivery.result()
    connection = temporal.get_workflow_handle(connection_workflow_id(state.ref.connection_id))
    signalled, recording = await _times(connection, "SIGNALED", "WORKFLOW_TASK_STARTED")
    begun, sending = await _times(delivery, "WORKFLOW_EXECUTION_STARTED", "ACTIVITY_TASK_STARTED")
    times = (started, signalled, recording, begun, sending, arrival.at)
    legs = [later - earlier for earlier, later in pairwise(times)]
    return {"webhook": arrival.at - started, "legs": dict(zip(LEGS, legs, strict=True))}


async def _times(handle: Handle, *kinds: str) -> list[float]:
    """When the last event of each kind happened, by the server."""
    found = dict[str, datetime]()
    async for event in handle.fetch_history_events():
        found[HistoryEvent.Name(event.event_type).removeprefix("EVENT_TYPE_")] = event.event_time.ToDatetime()
    return [next(_seconds(at) for name, at in found.items() if name.endswith(kind)) for kind in kinds]


def _seconds(at: datetime) -> float:
    """Protocol buffers' times name no zone; they are in UTC."""
    return (at - datetime(1970, 1, 1)).total_seconds()


async def _burst(bench: Bench, count: int) -> dict[str, float]:
    """Deliveries a second while a tenth to nine tenths of them arrive, and how long it takes until all have."""
    states = await bench.site.seed(BURST, LIFETIME, LIFETIME)
    await bench.site.wake(states)
    async with AsyncExitStack() as stack:
        listeners = [await stack.enter_async_context(listening()) for _ in range(count)]
        endpoints = [await bench.subscribe(listener) for listener in listeners]
        started = time.time()
        revoking = asyncio.create_task(few_at_once(_revoke(bench.site, state) for state in states))
        arrivals = [await listener.arrivals.get() for listener in listeners for _ in range(BURST)]
        await revoking
        for endpoint_id in endpoints:
            await bench.unsubscribe(endpoint_id)
    times = sorted(arrival.at for arrival in arrivals)
    first, last = len(times) // 10, 9 * len(times) // 10
    return {"rate": (last - first) / (times[last] - times[first]), "all_within": times[-1] - started}


async def _revoke(site: Site, state: ConnectionState) -> None:
    event = ProviderEvent(request_id=uuid4().hex, kind=ProviderEventKind.REVOKED, occurred_at=utc_now())
    handle = site.made.temporal.get_workflow_handle(connection_workflow_id(state.ref.connection_id))
    await handle.signal(Signal.PROVIDER_EVENT, event)


def _figures(samples: list[dict[str, Any]]) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    for store in dict.fromkeys(sample["store"] for sample in samples):
        pairs = [sample for sample in samples if sample["store"] == store and "webhook" in sample]
        for what in ("webhook", "activity", "round_trip"):
            for name, value in _percentiles(sample[what] for sample in pairs).items():
                figures[f"{store}: {what.replace('_', ' ')}, {name} ms"] = 1000 * value
        for what in ("activity", "round_trip"):
            for name in ("p50", "p99"):
                words = f"{store}: webhook / {what.replace('_', ' ')}"
                of = figures[f"{store}: {what.replace('_', ' ')}, {name} ms"]
                figures[f"{words}, {name}"] = figures[f"{store}: webhook, {name} ms"] / of
        for leg in LEGS:
            figures[f"{store}: {leg}, p50 ms"] = 1000 * _percentiles(sample["legs"][leg] for sample in pairs)["p50"]
        for sample in samples:
            if sample["store"] == store and "rate" in sample:
                words = f"{store}: {BURST} connections revoked, {sample['listeners']} listeners"
                figures[f"{words}: deliveries/s"] = sample["rate"]
                figures[f"{words}: seconds until the last"] = sample["all_within"]
    return figures


def _percentiles(values: Iterable[float]) -> dict[str, float]:
    cuts = quantiles(values, n=100)
    return {"p50": cuts[49], "p99": cuts[98]}
