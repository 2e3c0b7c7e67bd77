"""From a customer's reconnect to the activity that goes on, beside a workflow that is signalled and runs one activity.

Both are the same user's workflows, on one worker, in one namespace; each begins when all before it has ended and the
server has rested. All times are by the clock that the processes and the Temporal server of one machine share.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from itertools import pairwise
from statistics import quantiles
from typing import Any

from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import WorkflowHandle

from bench.empty import SIGNALLED, Signalled
from bench.lab import Handle, few_at_once
from bench.user import Sync
from bench.waits import World
from everlink.contract import ConnectionState, connection_workflow_id
from providers.credential import OAuthCredential

PAIRS, WARM = 60, 5  # the first are not counted
# Before each. The server looks at its queue of what is to be handed on 20 times a second (a shard's
# `history.transferProcessorMaxPollRPS`, with a second's worth saved up), and each of both ways needs several looks.
REST_SECONDS = 0.7
# From when the reconnect begins to be kept, the vault first; from when the connection is written to be active, at the
# beginning of that; and from when the customer's callback is answered.
STARTS = ("begun", "recorded", "answered")
LEGS = (
    "begun to recorded",
    "to the connection telling",
    "to the wait told",
    "to the wait's end",
    "to the workflow told",
    "to the activity's start",
    "to the activity running",
)


@dataclass(frozen=True)
class Pair:
    """Two workflows that wait: the one for its connection, the other for a signal."""

    state: ConnectionState
    sync: Handle
    signalled: Handle
    credential: OAuthCredential  # with which its customer comes back


async def latencies(world: World) -> list[dict[str, Any]]:
    async with world.users_worker("--nexus"):
        states = await world.revoked(WARM + PAIRS)
        syncs = await few_at_once(world.start(Sync.__name__, state.ref.connection_id) for state in states)
        bare = await few_at_once(world.start(SIGNALLED) for _ in states)
        credentials = await world.credentials(len(states))
        await world.until_wait(len(states))
        samples = []
        for number, pair in enumerate(map(Pair, states, syncs, bare, credentials)):
            ways = [_signalled, _reconnected] if number % 2 else [_reconnected, _signalled]
            sample: dict[str, Any] = {}
            for way in ways:
                await asyncio.sleep(REST_SECONDS)
                sample |= await way(world, pair)
            samples.append(sample)
    return samples[WARM:]


async def _signalled(_: World, pair: Pair) -> dict[str, Any]:
    began = time.time()
    await pair.signalled.signal(Signalled.go)
    ran_at = await pair.signalled.result()
    return {"activity": ran_at - began, "round_trip": time.time() - began}


async def _reconnected(world: World, pair: Pair) -> dict[str, Any]:
    began = time.time()
    await world.reconnect(pair.state, pair.credential)
    answered = time.time()
    ran_at = await pair.sync.result()
    times = [began, await world.recorded(pair.state), *await _times(world, pair), ran_at]
    starts = dict(zip(STARTS, (began, times[1], answered), strict=True))
    return {
        "resumed": {name: ran_at - start for name, start in starts.items()},
        "legs": dict(zip(LEGS, (later - earlier for earlier, later in pairwise(times)), strict=True)),
    }


async def _times(world: World, pair: Pair) -> list[float]:
    """When what follows happened, by the server."""
    user = await _events(pair.sync)
    waiting_id = user["NEXUS_OPERATION_STARTED"].links[0].workflow_event.workflow_id
    temporal = world.site.made.temporal
    waiting = await _events(temporal.get_workflow_handle(waiting_id))
    connection = await _events(temporal.get_workflow_handle(connection_workflow_id(pair.state.ref.connection_id)))
    return [
        _seconds(event)
        for event in (
            connection["SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED"],
            waiting["WORKFLOW_EXECUTION_SIGNALED"],
            waiting["WORKFLOW_EXECUTION_COMPLETED"],
            user["NEXUS_OPERATION_COMPLETED"],
            user["ACTIVITY_TASK_SCHEDULED"],
        )
    ]


async def _events(handle: WorkflowHandle[Any, Any]) -> dict[str, HistoryEvent]:
    """The last of each kind."""
    events = [event async for event in handle.fetch_history_events()]
    return {EventType.Name(event.event_type).removeprefix("EVENT_TYPE_"): event for event in events}


def _seconds(event: HistoryEvent) -> float:
    return event.event_time.ToNanoseconds() / 1e9


def figures(samples: list[dict[str, Any]]) -> dict[str, Any]:
    values = {what: [sample[what] for sample in samples] for what in ("activity", "round_trip")}
    values |= {f"resumed, from {start}": [sample["resumed"][start] for sample in samples] for start in STARTS}
    percentiles = {what: _percentiles(of) for what, of in values.items()}
    found = {
        f"{what.replace('_', ' ')}, {name} ms": 1000 * value
        for what, both in percentiles.items()
        for name, value in both.items()
    }
    for start in STARTS:
        for base in ("activity", "round_trip"):
            for name in ("p50", "p90"):
                words = f"resumed, from {start} / {base.replace('_', ' ')}, {name}"
                found[words] = percentiles[f"resumed, from {start}"][name] / percentiles[base][name]
    for leg in LEGS:
        found[f"{leg}, p50 ms"] = 1000 * _percentiles([sample["legs"][leg] for sample in samples])["p50"]
    return found


def _percentiles(values: list[float]) -> dict[str, float]:
    cuts = quantiles(values, n=10)
    return {"p50": cuts[4], "p90": cuts[8]}
