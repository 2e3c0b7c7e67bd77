"""How long healthy webhook endpoints wait for their events while another one hangs."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from statistics import median
from uuid import uuid4

from bench.lab import APPLICATIONS, Lab, Site, few_at_once
from bench.report import Part, spread
from everlink.contract import EventType, Workflow
from providers.http import DEADLINE_SECONDS
from providers.signature import new_secret
from store.database import utc_now
from store.outbox import NewEvent, announce, event_head
from store.starting import delivery_start_options
from store.strays import announced_deliveries
from store.tables import WebhookEndpoint
from store.vault import Kind

PAIRS = 3
HEALTHY = 5
BURST = 200  # events for the suspect alone, twice as many as a worker has slots
EVENTS, EVERY_SECONDS = 40, 0.5  # and then these for all of them
SETTLE_SECONDS = 5.0
MEASURED, FOR_THE_SUSPECT = EventType.APPLICATION_REFUSED, EventType.APPLICATION_ACCEPTED


@dataclass(frozen=True)
class Sample:
    """What the healthy endpoints saw while the suspect did so."""

    suspect: str
    median_seconds: float
    slowest_seconds: float
    arrived: int


class Listener:
    """All endpoints: the path tells which. The suspect reads what it is sent, and may leave it at that."""

    def __init__(self) -> None:
        self.hangs = False
        self.sent: dict[str, float] = {}
        self.seconds: dict[tuple[str, str], float] = {}  # from an event's commit to its first arrival at an endpoint

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = re.search(r"(?i)content-length: (\d+)", head)
                body = json.loads(await reader.readexactly(int(length[1]) if length else 0))
                path = head.split(" ")[1].strip("/")
                if path.startswith("healthy") and body["event_id"] in self.sent:
                    taken = time.monotonic() - self.sent[body["event_id"]]
                    self.seconds.setdefault((path, body["event_id"]), taken)
                if path == "suspect" and self.hangs:
                    await reader.read()  # until the other side gives up
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        except (EOFError, ConnectionError):
            writer.close()


async def measure(lab: Lab) -> Part:
    listener = Listener()
    server = await asyncio.start_server(listener.serve, "0.0.0.0", 0, backlog=1000)
    port = server.sockets[0].getsockname()[1]
    samples = []
    async with lab.site("isolation") as site, site.worker():
        hosts = list(APPLICATIONS.values())
        for number in range(HEALTHY):
            await _subscribe(site, f"http://{hosts[number]}:{port}/healthy{number}", [MEASURED])
        for _ in range(PAIRS):
            for hangs in (False, True):
                listener.hangs = hangs
                async with _suspect(site, f"http://{hosts[HEALTHY]}:{port}/suspect"):
                    await few_at_once(_announce(site, listener, FOR_THE_SUSPECT) for _ in range(BURST))
                    await asyncio.sleep(SETTLE_SECONDS)
                    samples.append(await _observe(site, listener))
    server.close()
    return Part([asdict(sample) for sample in samples], _figures(samples))


async def _observe(site: Site, listener: Listener) -> Sample:
    listener.sent, listener.seconds = {}, {}
    for _ in range(EVENTS):
        await asyncio.gather(_announce(site, listener, MEASURED), asyncio.sleep(EVERY_SECONDS))
    async with asyncio.timeout(120):
        while len(listener.seconds) < EVENTS * HEALTHY:
            await asyncio.sleep(0.1)
    seconds = list(listener.seconds.values())
    return Sample("hangs" if listener.hangs else "answers", median(seconds), max(seconds), len(seconds))


async def _announce(site: Site, listener: Listener, kind: EventType) -> None:
    """Commit an event and start its deliveries, as an activity does."""
    now, event_id, database = utc_now(), str(uuid4()), site.made.database
    event = NewEvent(event_id, kind, "bench1", event_head(site.scope, kind, "bench1", event_id, now))
    async with database.writing() as connection:
        announced = await announce(database, connection, site.scope, event, now)
    listener.sent[event_id] = time.monotonic()
    for delivery in announced_deliveries(site.scope, announced):
        await site.made.temporal.start_workflow(Workflow.DELIVERY, **delivery_start_options(delivery))


async def _subscribe(site: Site, url: str, events: list[EventType]) -> str:
    endpoint_id = f"we_{uuid4().hex}"
    secret = await site.made.vault.seal(site.scope, Kind.WEBHOOK_SECRET, endpoint_id, new_secret().encode())
    await site.made.webhooks.add(
        WebhookEndpoint(
            id=endpoint_id,
            **site.scope._asdict(),
            url=url,
            events=[event.value for event in events],
            secret=secret,
            created_at=utc_now(),
        )
    )
    return endpoint_id


@asynccontextmanager
async def _suspect(site: Site, url: str) -> AsyncIterator[None]:
    """An endpoint of its own for each stretch: what waits for it after that is sent no more."""
    endpoint_id = await _subscribe(site, url, [MEASURED, FOR_THE_SUSPECT])
    yield
    await site.made.webhooks.change(site.scope, endpoint_id, {"is_enabled": False})
    await asyncio.sleep(DEADLINE_SECONDS)  # what is under way comes to its end


def _figures(samples: list[Sample]) -> dict[str, dict[str, float]]:
    answers, hangs = ([s for s in samples if s.suspect == what] for what in ("answers", "hangs"))
    pairs = list(zip(answers, hangs, strict=True))
    return {
        "median delivery while all answer, ms": spread([1000 * sample.median_seconds for sample in answers]),
        "median delivery while one hangs, ms": spread([1000 * sample.median_seconds for sample in hangs]),
        "slowest delivery while all answer, ms": spread([1000 * sample.slowest_seconds for sample in answers]),
        "slowest delivery while one hangs, ms": spread([1000 * sample.slowest_seconds for sample in hangs]),
        "hangs / answers, of the medians (target: 1.5 at most)": spread(
            [with_it.median_seconds / without.median_seconds for without, with_it in pairs]
        ),
    }
