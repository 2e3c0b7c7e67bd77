"""Connections that sleep: how fast they are made, and what they cost the worker, the server and the databases."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

from api.lifecycle import Grant, Target, establish
from bench.lab import ACCOUNT, APPLICATIONS, Lab, Site, few_at_once
from bench.processes import Child, resident
from bench.report import Part
from providers.credential import OAuthCredential
from providers.identity import Whose

CACHED = (200, 600)  # starts between which memory is compared, all of them in the default cache of 1,000
SMALL_CACHE = 100
EVICTED = (1000, 2000, 3000, 4000, 5000)
LIFETIME = 30 * 86400.0
KIB = 1024


async def cached(lab: Lab) -> Part:
    async with lab.site("cached") as site, site.worker() as worker:
        samples = [await grow(lab, site, worker, *step) for step in pairwise((0, *CACHED))]
    return Part(samples, {"worker memory per cached connection, KiB": _each(samples, "worker_memory") / KIB})


async def evicted(lab: Lab) -> Part:
    async with lab.site("sleeping") as site, site.worker(cached=SMALL_CACHE) as worker:
        empty = _sizes(lab, site)
        samples = [await grow(lab, site, worker, *step) for step in pairwise((0, *EVICTED))]
    last = samples[-1]
    figures: dict[str, Any] = {
        "connections": last["connections"],
        "connections/s, consent's answer to written transition": last["connections"]
        / sum(s["seconds"] for s in samples),
        "worker memory per evicted connection, KiB": _each(samples, "worker_memory") / KIB,
        "server memory, MiB": last["server_memory"] / KIB**2,
        "server memory per connection, KiB": _each(samples, "server_memory") / KIB,
    }
    for name in empty:
        figures[f"{name} per connection, bytes"] = (last[name] - empty[name]) / last["connections"]
    return Part(samples, figures)


async def grow(lab: Lab, site: Site, worker: Child, present: int, count: int) -> dict[str, Any]:
    """Connect until there are that many connections, the way that the API does when consent has been given."""
    entry = site.made.catalog.get(next(iter(APPLICATIONS)))
    assert entry is not None
    credentials = await site.granted(count - present, LIFETIME, LIFETIME)

    async def connect(number: int, credential: OAuthCredential) -> None:
        grant = Grant(credential, renewable=True, expires_in=LIFETIME, whose=Whose(f"{number}"))
        await establish(site.made, Target(site.scope, ACCOUNT), entry, grant)

    started = time.monotonic()
    await few_at_once(connect(number, credential) for number, credential in enumerate(credentials, present))
    return {
        "connections": count,
        "seconds": time.monotonic() - started,
        "worker_memory": (await worker.ask("memory"))["resident"],
        "server_memory": resident(lab.server.pid),
        **_sizes(lab, site),
    }


def _each(samples: list[dict[str, Any]], what: str) -> float:
    """The growth from the first sample to the last, for each connection."""
    first, last = samples[0], samples[-1]
    grown = last[what] - first[what]
    return float(grown / (last["connections"] - first["connections"]))


def _sizes(lab: Lab, site: Site) -> dict[str, int]:
    ours = Path(site.made.database.url.database or "")
    return {"Temporal's SQLite file": _used(lab.temporal_file), "our SQLite file": _used(ours)}


def _used(file: Path) -> int:
    """Bytes of the pages in use, those in the write-ahead log included."""
    with closing(sqlite3.connect(file, timeout=60)) as connection:
        pages, free, size = (
            int(connection.execute(f"PRAGMA {name}").fetchone()[0])
            for name in ("page_count", "freelist_count", "page_size")
        )
    return (pages - free) * size
