"""From a customer's click on "Reconnect" to the product reading that the connection is active again.

All of Everlink runs, and a real browser; the sandbox's consent answers at once. Each reconnect stands beside a bare
consent: the same browser follows a link to the same authorize address, whose answer leads to a route that touches
nothing. What the product sees is measured in two ways, by turns: by a long poll, whose watcher asks the store every
half second (so it adds a quarter of a second to the median), and by reading the connection again and again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from random import random
from statistics import median, quantiles
from typing import Any
from urllib.parse import urlencode

import httpx
from playwright.async_api import Page, Request

from api.waiting import EVERY_SECONDS
from bench.lab import Lab
from bench.processes import busy_share, core_times
from bench.report import Part, spread
from dev.config import StackConfig
from dev.stack import Stack
from everlink.contract import ConnectionStatus
from sandbox.customer import Customer
from sandbox.settings import CLIENT_ID
from tests.chromium import CHROMIUM, chromium

ROUNDS, WARM = 30, 3  # of each way to see it; the first are not counted
ACCOUNT, SLUG = "reconnect", "sandbox"
PAGE = "/connect/session"
PAUSE = 0.005  # between two reads, which weigh on the API process that is measured
LEGS = {"/o/authorize/": "click to consent", "/callback": "consent to callback"}
LAST_LEG = "callback to active"


@dataclass(frozen=True)
class AtOnce(StackConfig):
    """A stack whose sandbox asks nobody, refreshes nothing meanwhile, and also leads to a page that does nothing."""

    access_token_seconds: int = 3600

    def environment(self) -> dict[str, str]:
        told = super().environment()
        redirects = f"{told['SANDBOX_REDIRECT_URIS']} {self.nowhere}"
        return told | {"SANDBOX_SKIP_CONSENT": "1", "SANDBOX_REDIRECT_URIS": redirects}

    @property
    def nowhere(self) -> str:
        return f"{self.addresses.api}/healthz"

    @property
    def bare(self) -> str:
        """A consent as Everlink asks for it, of which nothing comes."""
        asked = {"response_type": "code", "client_id": CLIENT_ID, "redirect_uri": self.nowhere, "scope": "read"}
        proof = {"state": "bare", "code_challenge": "A" * 43, "code_challenge_method": "S256"}
        return f"{self.addresses.sandbox}/o/authorize/?{urlencode(asked | proof)}"


@dataclass
class Bench:
    """One customer with a browser, and the product whose connection breaks and is mended."""

    config: AtOnce
    page: Page
    product: httpx.AsyncClient
    customer: Customer
    connection: str = ""
    passed: dict[str, float] = field(default_factory=dict)  # when the browser asked for the addresses of LEGS

    def note(self, request: Request) -> None:
        now, path = time.perf_counter(), request.url.partition("?")[0]
        self.passed |= {leg: now for ending, leg in LEGS.items() if path.endswith(ending)}

    async def log_in(self) -> None:
        """The sandbox knows the browser from now on; the page opens."""
        given = await self._said("POST", "/api/v2/public/session-token", json={"linked_account_id": ACCOUNT})
        bearer = {"authorization": f"Bearer {given['token']}"}
        hosted = await self._said("POST", "/api/v2/public/connect-url", json={}, headers=bearer)
        await self.page.goto(self.config.bare)
        await self.page.get_by_label("User name").fill(self.customer.username)
        await self.page.get_by_label("Password").fill(self.customer.password)
        await self.page.get_by_role("button", name="Log in").click()
        await self.page.wait_for_url(f"{self.config.nowhere}?*")
        await self.page.goto(hosted["hosted_url"])

    async def connect(self) -> None:
        link = await self._said("GET", f"/api/v2/public/linked-account/integration/oauth-url/{SLUG}")
        (await self.customer.consent(link["auth_url"])).raise_for_status()
        listed = await self._said("GET", "/v1/connections", params={"linked_account_id": ACCOUNT})
        self.connection = f"/v1/connections/{listed['connections'][0]['id']}"

    async def lose(self) -> None:
        await self.customer.revoke()
        await self._said("POST", f"{self.connection}/report", json={})
        await self.waited(ConnectionStatus.REAUTH_REQUIRED)

    async def waited(self, status: ConnectionStatus = ConnectionStatus.ACTIVE) -> None:
        """The product's long poll."""
        seen = await self._said("GET", f"{self.connection}/wait", params={"status": status, "timeout": 60})
        assert seen["status"] == status

    async def read(self) -> None:
        """The product reads it as soon as it can be read."""
        async with asyncio.timeout(60):
            while (await self._said("GET", self.connection))["status"] != ConnectionStatus.ACTIVE:
                await asyncio.sleep(PAUSE)

    async def reconnect(self, seen: Callable[[], Awaitable[None]]) -> dict[str, Any]:
        """Seconds from the click until the product has seen it, and where they went."""
        await self.lose()
        await self.page.goto(f"{self.config.addresses.api}{PAGE}")
        await self.page.get_by_role("button", name="Reconnect").hover()
        watching = asyncio.ensure_future(seen())
        await asyncio.sleep(random() * EVERY_SECONDS)  # the click may come at any moment between two of the watcher's
        self.passed.clear()
        # Where the browser is left on its way, it would arrive in the midst of what follows.
        async with self.page.expect_event("framenavigated", lambda _: len(self.passed) == len(LEGS)):
            clicked = await self._click()
            await watching
            ended = time.perf_counter()
        times = (clicked, *(self.passed[leg] for leg in LEGS.values()), ended)
        legs = [later - earlier for earlier, later in pairwise(times)]
        return {"seconds": ended - clicked, "legs": dict(zip([*LEGS.values(), LAST_LEG], legs, strict=True))}

    async def consent(self) -> float:
        """Seconds from the click until the browser is where the bare consent leads to."""
        await self.page.goto("about:blank")
        await self.page.set_content(f'<a href="{self.config.bare.replace("&", "&amp;")}">Consent</a>')
        await self.page.get_by_role("link", name="Consent").hover()
        clicked = await self._click()
        await self.page.wait_for_url(f"{self.config.nowhere}?*", wait_until="commit")
        return time.perf_counter() - clicked

    async def _click(self) -> float:
        """Where the mouse is: Playwright looks for nothing meanwhile."""
        began = time.perf_counter()
        await self.page.mouse.down()
        await self.page.mouse.up()
        return began

    async def _said(self, method: str, path: str, **more: Any) -> dict[str, Any]:
        answer = await self.product.request(method, path, **more)
        said: dict[str, Any] = answer.raise_for_status().json()
        return said


async def measure(lab: Lab) -> Part:
    if CHROMIUM is None:
        return Part([], {"rounds, as Chromium is not installed": 0})
    async with _bench(AtOnce.on_free_ports(lab.folder / "reconnect")) as bench:
        ways = {"long poll": bench.waited, "read": bench.read}
        samples = [await _beside_bare(bench, way, seen) for _ in range(WARM + ROUNDS) for way, seen in ways.items()][
            WARM * len(ways) :
        ]
    return Part(samples, _figures(samples))


@asynccontextmanager
async def _bench(config: AtOnce) -> AsyncIterator[Bench]:
    async with Stack(config, say=lambda _: None) as stack, chromium() as browser:
        headers = {"x-api-key": stack.seed["api_key"], "linked_account_id": ACCOUNT}
        async with (
            httpx.AsyncClient(base_url=stack.addresses.api, headers=headers, timeout=70, trust_env=False) as product,
            Customer(stack.addresses.sandbox, "ada", "ada-password") as ada,
        ):
            (await product.post("/api/v2/public/linked-account", json={"account_id": ACCOUNT})).raise_for_status()
            bench = Bench(config, await browser.new_page(), product, ada)
            bench.page.on("request", bench.note)
            await bench.log_in()
            await bench.connect()
            yield bench


async def _beside_bare(bench: Bench, way: str, seen: Callable[[], Awaitable[None]]) -> dict[str, Any]:
    cores = core_times()
    bare, reconnected = await bench.consent(), await bench.reconnect(seen)
    return {
        "seen by": way,
        **reconnected,
        "bare": bare,
        "ratio": reconnected["seconds"] / bare,
        "cores_busy": busy_share(cores, core_times()),
    }


def _figures(samples: list[dict[str, Any]]) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    for way in dict.fromkeys(sample["seen by"] for sample in samples):
        mine = [sample for sample in samples if sample["seen by"] == way]
        seconds = [sample["seconds"] for sample in mine]
        figures[f"seen by {way}: of the bare consent's time"] = spread([sample["ratio"] for sample in mine])
        figures[f"seen by {way}: ms"] = spread([1000 * value for value in seconds])
        figures[f"seen by {way}: p90 ms"] = 1000 * _p90(seconds)
        figures[f"seen by {way}: within a second, of {len(mine)}"] = sum(value < 1 for value in seconds)
        for leg in mine[0]["legs"]:
            figures[f"seen by {way}: {leg}, p50 ms"] = 1000 * median(sample["legs"][leg] for sample in mine)
    bare = [sample["bare"] for sample in samples]
    figures["bare consent: ms"] = spread([1000 * value for value in bare])
    figures["bare consent: p90 ms"] = 1000 * _p90(bare)
    figures["cores busy"] = spread([sample["cores_busy"] for sample in samples])
    return figures


def _p90(values: list[float]) -> float:
    return quantiles(values, n=10)[8]
