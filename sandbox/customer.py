"""The end customer at the browser, without a browser."""

from html.parser import HTMLParser
from types import TracebackType
from typing import Any, Self

import httpx


class Customer:
    """Logs in, allows or denies, takes it back.

    One cookie jar for all hosts, as a browser has it; the product's own cookies travel, too.
    """

    def __init__(self, sandbox_url: str, username: str, password: str) -> None:
        self.sandbox_url = sandbox_url.rstrip("/")
        self.username = username
        self.password = password
        # No connection is used twice: a server may close one just then, and only a browser would ask again.
        fresh = httpx.Limits(max_keepalive_connections=0)
        self._browser = httpx.AsyncClient(follow_redirects=True, trust_env=False, timeout=30, limits=fresh)
        self._control = httpx.AsyncClient(
            base_url=f"{self.sandbox_url}/control/", auth=(username, password), trust_env=False, timeout=30
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._browser.aclose()
        await self._control.aclose()

    async def consent(self, url: str, allow: bool = True) -> httpx.Response:
        """Open the link, log in if asked, answer the question; return the page the product shows then."""
        page = await self._browser.get(url)
        if self._asks_for("password", page):
            page = await self._submit(page, username=self.username, password=self.password)
            if self._asks_for("password", page):
                raise PermissionError(f"the sandbox did not let {self.username!r} in")
        if self._asks_for("client_id", page):
            page = await (self._submit(page, allow="Allow") if allow else self._submit(page))
        return page

    async def revoke(self) -> int:
        """Disconnect every application; the number of tokens that lived until now."""
        return int((await self._command("POST", "revoke"))["revoked"])

    async def create_key(self) -> tuple[int, str]:
        created = await self._command("POST", "keys")
        return int(created["id"]), str(created["key"])

    async def delete_key(self, key_id: int) -> None:
        (await self._control.delete(f"keys/{key_id}")).raise_for_status()

    async def live_tokens(self) -> dict[str, int]:
        """How many unexpired, unrevoked tokens the customer has given out, as ``access`` and ``refresh``."""
        return dict(await self._command("GET", "tokens"))

    async def _command(self, method: str, path: str) -> Any:
        response = await self._control.request(method, path)
        return response.raise_for_status().json()

    def _asks_for(self, field: str, page: httpx.Response) -> bool:
        return str(page.url).startswith(self.sandbox_url + "/") and field in _Form(page.text).fields

    async def _submit(self, page: httpx.Response, **answers: str) -> httpx.Response:
        # The sandbox's forms name no other address, so they go back to where they came from.
        return await self._browser.post(page.url, data=_Form(page.text).fields | answers)


class _Form(HTMLParser):
    """The fields a page would send, buttons left out."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.fields: dict[str, str] = {}
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        if tag == "input" and (name := attributes.get("name")):
            self.fields[name] = attributes.get("value") or ""
