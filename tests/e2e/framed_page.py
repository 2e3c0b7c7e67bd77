"""A product's page on a site of its own, with `<everlink-connect>` in it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from playwright.async_api import Frame, FrameLocator, Locator, Page

from dev.stack import Stack
from tests.e2e.hosted import connections
from tests.e2e.origins import serving

PAGE = """<!doctype html>
<html lang="en">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Northwind</title>
<script src="{api}/sdk/everlink.js"></script>
<style>
  :root {{ color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }}
  body {{ margin: 0; background: light-dark(#fff, #14161a); color: light-dark(#14213d, #e8e8ee); }}
  nav {{ padding: 1rem 1.5rem; border-bottom: 1px solid light-dark(#e2e5ec, #2b2f37); font-weight: 700; }}
  main {{ max-width: 46rem; margin: 0 auto; padding: 2rem 1.5rem; }}
  h1 {{ font-size: 1.75rem; margin: 0 0 .25rem; }}
  everlink-connect {{ margin-block-start: 1.5rem; border-radius: 1rem; overflow: hidden; }}
</style>
<nav>Northwind</nav>
<main>
<h1>Settings</h1>
<p>Applications that Northwind works with for you.</p>
</main>
</html>
"""


@dataclass
class FramedPage:
    """The page, as one linked account's customer uses it, and what the element has told it."""

    page: Page
    product: httpx.AsyncClient
    account: str
    origin: str

    @property
    def frame(self) -> FrameLocator:
        return self.page.frame_locator("everlink-connect iframe")

    @property
    def inner(self) -> Frame:
        return next(frame for frame in self.page.frames if "/connect/" in frame.url)

    async def session(self, **wishes: Any) -> dict[str, Any]:
        body = {"linked_account_id": self.account, "embed_origin": self.origin, **wishes}
        made = await self.product.post("/v1/connect-sessions", json=body)
        assert made.status_code == 201, made.text
        found: dict[str, Any] = made.json()
        return found

    async def show(self, session: str, *, color_scheme: str = "", loads: bool = True) -> None:
        """Put the element on the page, and listen to it, until the frame's script is there."""
        await self.page.goto(self.origin)
        await self.page.evaluate(
            """([session, scheme]) => {
              window.told = [];
              const element = document.createElement("everlink-connect");
              for (const type of ["connected", "closed", "error"])
                element.addEventListener(type, (event) => told.push([type, event.detail]));
              element.setAttribute("session", session);
              document.documentElement.style.colorScheme = scheme;
              document.querySelector("main").append(element);
            }""",
            [session, color_scheme],
        )
        if loads:
            frame = 'document.querySelector("everlink-connect").shadowRoot.querySelector("iframe")'
            await self.page.wait_for_function(
                f'() => {{ const frame = {frame}; return frame && frame.style.height !== "20rem"; }}'
            )

    async def told(self) -> list[list[Any]]:
        told: list[list[Any]] = await self.page.evaluate("() => told")
        return told

    async def until_told(self, event: str, seconds: float = 40) -> Any:
        async with asyncio.timeout(seconds):
            while True:
                for one, detail in await self.told():
                    if one == event:
                        return detail
                await asyncio.sleep(0.05)

    async def opened(self, slug: str, button: str) -> Page:
        """The window that a click in the frame opens."""
        async with self.page.expect_popup() as opened:
            await self.card(slug).get_by_role("button", name=button).click()
        return await opened.value

    def card(self, name: str) -> Locator:
        return self.frame.get_by_role("article", name=name, exact=True)

    async def connections(self) -> list[dict[str, Any]]:
        return await connections(self.product, self.account)


@contextmanager
def product_origin(stack: Stack, folder: Path) -> Iterator[str]:
    (folder / "index.html").write_text(PAGE.format(api=stack.addresses.api))
    with serving(folder) as origin:
        yield origin
