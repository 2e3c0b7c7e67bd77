"""How fast and how dear Everlink is beside the plainest loop that Temporal can run: `make bench`.

Everything runs on this machine, on one Temporal dev server (SQLite file, WAL, as `make run` has it), one token
endpoint that answers at once, and worker processes with the options of `worker.py`. It takes about half an hour;
`python -m bench rates` (or another part) takes few. Linux only: costs are read from /proc.

rates      cycles/s and CPU of an empty loop (a timer of a second, an activity that does nothing) against real
           refreshes (token request, vault, store on SQLite and on PostgreSQL with fsync), 300 workflows each, in
           turn: empty, SQLite, PostgreSQL, empty, ... The refreshes are of 40 applications, each at an address of
           its own and with the limits that the catalog gives by default. Each ratio is of neighbours in time, so
           that what else the machine does weighs on both. The empty loop runs in the worker process of SQLite's turn.
histories  history events of a refresh, continue-as-new included.
cached     worker memory of a sleeping connection that is in the worker's cache.
sleeping   5,000 sleeping connections with a cache of 100: how fast they connect; what an evicted one costs
           the worker (from the 1,000th to the 5,000th), the server and the two databases (SQLite).
storm      2,000 connections whose tokens expire within one minute, read through an API process all the time;
           the endpoint says of each token read whether it is accepted.
reads      tokens read as fast as an API process answers, from SQLite and from PostgreSQL, with and without a second of
           memory, by 1, 16 and 64 callers over loopback, beside a route of the same process that touches nothing: each
           ratio is of two neighbouring stretches.
webhooks   from the report of a revocation arriving at the API to the webhook arriving at a listener, 200 times, each
           beside an empty workflow that is signalled and runs one activity; where the time goes, by the histories;
           and deliveries/s, when a thousand connections are revoked at once, to one listener and to four.
lists      the database's time for a page of every combination of filters, of 1,000 connections and of 100,000.
isolation  from an event's commit to its arrival at five healthy webhook endpoints, while a sixth, which was sent a
           burst of 200 before, answers or hangs: each ratio is of two neighbouring stretches (SQLite).
hooks      a provider's event, from its sending to its answer, beside three writes to the same database and a route that
           touches nothing, 200 times.
reconnect  from a customer's click on "Reconnect" in Chromium, with a consent that answers at once, to the product's
           reading that the connection is active, by long poll and by reading again and again, 30 times each, beside
           the same browser's way through a bare consent. On a stack of its own, as `make run` starts it.
waiting    workflows of a user's worker with the plugin, in a namespace of its own: from a customer's reconnect to the
           activity that goes on, through Nexus, 60 times, each beside an empty workflow of the same worker that is
           signalled and runs one activity; where the time goes, by the histories; 10,000 that wait through Nexus for
           1,001 customers, 500 of them for one: tasks, slots, requests, CPU and memory in a quiet window, and whom that
           one's reconnect wakes; and 200 that wait by asking the API.

A figure with brackets is a median with its minimum and maximum. Ratios, events, bytes and counts can be compared
between machines; cycles/s and milliseconds cannot, nor between a quiet hour and a busy one: `load_before` and
`cores busy` in `results.json` tell which it was. A run of single parts replaces theirs there, with the machine as it
was then.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from pathlib import Path

from bench import histories, hooks, isolation, lists, rates, reads, reconnect, sleeping, storm, waiting, webhooks
from bench.lab import laboratory
from bench.report import Part, machine, table, write

PARTS = {
    "rates": rates.measure,
    "histories": histories.measure,
    "cached": sleeping.cached,
    "sleeping": sleeping.evicted,
    "storm": storm.measure,
    "reads": reads.measure,
    "webhooks": webhooks.measure,
    "lists": lists.measure,
    "isolation": isolation.measure,
    "hooks": hooks.measure,
    "reconnect": reconnect.measure,
    "waiting": waiting.measure,
}


async def main(names: list[str]) -> None:
    about, parts = machine(), dict[str, Part]()
    with tempfile.TemporaryDirectory(prefix="everlink-bench-") as folder:
        async with laboratory(Path(folder)) as lab:
            for name in names:
                started = time.monotonic()
                parts[name] = await PARTS[name](lab)
                print(table(f"{name} ({time.monotonic() - started:.0f} s)", parts[name]), flush=True)
    write(about, parts)


if __name__ == "__main__":
    wanted = sys.argv[1:] or list(PARTS)
    if unknown := set(wanted) - set(PARTS):
        sys.exit(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    asyncio.run(main(wanted))
