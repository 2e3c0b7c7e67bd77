"""What a provider waits for that sends an event, beside three writes to the same database by somebody else.

The event is signed as Stripe signs; it is proven, written down and answered, and Temporal hears of it after that.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any
from uuid import uuid4

import httpx
from sqlalchemy import insert

from bench.lab import Lab, Site, answers
from bench.processes import running
from bench.report import Part, spread
from bench.server import BARE
from store.database import utc_now
from store.tables import PROVIDER_EVENTS
from store.tenants import SIGNING_SECRET, Tenants
from store.vault import Kind

PAIRS, WARM = 200, 20  # the first are not counted
SLUG, SECRET = "stripe_connect", "whsec_bench"
WRITES = 3


async def measure(lab: Lab) -> Part:
    postgres = await lab.postgres()
    stores = {"SQLite": None} | ({"PostgreSQL": postgres} if postgres is not None else {})
    samples: list[dict[str, Any]] = []
    for store, server in stores.items():
        async with AsyncExitStack() as stack:
            site = await stack.enter_async_context(lab.site(f"hooks-{store.lower()}", server))
            await _enable(site)
            log = lab.folder / "api.log"
            await stack.enter_async_context(
                running(sys.executable, "-m", "bench.server", env=site.environment, log=log)
            )
            url = f"http://127.0.0.1:{site.settings.port}"
            provider = await stack.enter_async_context(httpx.AsyncClient(base_url=url, timeout=60))
            await answers(provider)
            pairs = [await _pair(site, provider) for _ in range(WARM + PAIRS)]
            samples += [{"store": store, **pair} for pair in pairs[WARM:]]
    return Part(samples, _figures(samples))


async def _enable(site: Site) -> None:
    tenants, now = Tenants(site.made.database), utc_now()
    application = await tenants.enable_application(site.scope, SLUG, {}, now)
    sealed = await site.made.vault.seal(site.scope, Kind.SIGNING_SECRET, application, SECRET.encode())
    await tenants.replace_secret(site.scope, SLUG, SIGNING_SECRET, sealed, None, now)


async def _pair(site: Site, provider: httpx.AsyncClient) -> dict[str, float]:
    """Each in turn, so that what else the machine does weighs on all."""

    async def bare() -> None:
        (await provider.get(BARE)).raise_for_status()

    async def event() -> None:
        (await _send(site, provider)).raise_for_status()

    beside: dict[str, Any] = {"slug": "beside", "body_sha256": "", "ended": [], "part": 0, "after": "", "told": 0}
    first = {**site.scope.columns, **beside, "occurred_at": utc_now(), "received_at": utc_now()}

    async def writes() -> None:
        for _ in range(WRITES):
            row = {**first, "id": uuid4().hex, "event_id": uuid4().hex}
            async with site.made.database.writing() as connection:
                await connection.execute(insert(PROVIDER_EVENTS).values(row))

    took = {"bare": await _timed(bare), "event": await _timed(event), "writes": await _timed(writes)}
    return {**took, "ratio": took["event"] / (took["writes"] + took["bare"])}


async def _send(site: Site, provider: httpx.AsyncClient) -> httpx.Response:
    now = int(time.time())
    said = {"id": uuid4().hex, "type": "account.application.deauthorized", "account": "acct_nobody", "created": now}
    body = json.dumps(said).encode()
    made = hmac.new(SECRET.encode(), f"{now}.".encode() + body, hashlib.sha256).hexdigest()
    path = f"/hooks/{SLUG}/{site.scope.environment.value}/{site.scope.org_id}"
    return await provider.post(path, content=body, headers={"stripe-signature": f"t={now},v1={made}"})


async def _timed(work: Callable[[], Awaitable[None]]) -> float:
    begun = time.perf_counter()
    await work()
    return (time.perf_counter() - begun) * 1000


def _figures(samples: list[dict[str, Any]]) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    for store in dict.fromkeys(sample["store"] for sample in samples):
        mine = [sample for sample in samples if sample["store"] == store]
        figures[f"{store}: an event of that of three writes and a bare route"] = spread([one["ratio"] for one in mine])
        for what in ("event", "writes", "bare"):
            figures[f"{store}: {what} ms"] = spread([one[what] for one in mine])
    return figures
