"""A customer whose browser stops at the provider's door on the way back."""

from __future__ import annotations

import httpx

from sandbox.customer import Customer


class Visitor(Customer):
    """Walks a link up to the provider's answer, and opens that answer only when told, changed as wished."""

    async def consent_only(self, link: str, *, allow: bool = True) -> httpx.URL:
        """The callback's address as the provider gave it, not opened yet."""
        self._browser.event_hooks = {"response": [_stop_at_callback]}
        try:
            page = await self.consent(link, allow=allow)
        except _Answered as answer:
            return answer.url
        finally:
            self._browser.event_hooks = {}
        raise AssertionError(f"no answer of the provider, but HTTP {page.status_code} at {page.url.path}")

    async def open(self, url: httpx.URL | str) -> httpx.Response:
        return await self._browser.get(url)


class _Answered(Exception):
    def __init__(self, url: httpx.URL) -> None:
        super().__init__("the provider has answered")
        self.url = url


async def _stop_at_callback(response: httpx.Response) -> None:
    if response.has_redirect_location:
        goal = response.url.join(response.headers["location"])
        if goal.path.endswith("/callback"):
            raise _Answered(goal)
