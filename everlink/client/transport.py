"""How the client speaks to the API: one kept connection pool, tries again where that is safe, typed errors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any, TypeVar
from urllib.parse import quote
from uuid import uuid4

import httpx
from pydantic import BaseModel

from everlink.errors import EverlinkError, Unavailable, error_for

Model = TypeVar("Model", bound=BaseModel)

TRIES = 3
LONGEST_PAUSE = 10.0  # seconds between two tries, whatever the answer asks for
AGAIN = (429, 503)
Query = Mapping[str, Any]


class Transport:
    """Sends requests and reads answers. Every POST carries an idempotency key, so that all of them can be repeated."""

    def __init__(self, url: str, api_key: str, timeout: float, http: httpx.AsyncClient | None) -> None:
        self._url = url.rstrip("/")
        self._headers = {"x-api-key": api_key}
        self._timeout = timeout
        self._given = http
        self._own: httpx.AsyncClient | None = None

    @property
    def _http(self) -> httpx.AsyncClient:
        """Opened when it is needed, so that what was closed can be used again, also on another event loop."""
        if self._given is not None:
            return self._given
        if self._own is None:
            self._own = httpx.AsyncClient()
        return self._own

    async def get(self, path: str, model: type[Model], params: Query | None = None) -> Model:
        return await self.ask("GET", path, model, params=params)

    async def ask(self, method: str, path: str, model: type[Model], **sent: Any) -> Model:
        """The answer as a model; takes what `send` takes."""
        return model.model_validate(await self.send(method, path, **sent))

    async def send(
        self,
        method: str,
        path: str,
        *,
        params: Query | None = None,
        json: Any = None,
        waits: float = 0.0,
    ) -> Any:
        """The answer's JSON; None where it has no body. `waits`: seconds for which the API was asked to hold it back.

        Raises:
            EverlinkError: the answer is no success; Unavailable where nobody answered in time.
        """
        headers = self._headers
        if method == "POST":
            headers = {**headers, "idempotency-key": uuid4().hex}
        for last in (*[False] * (TRIES - 1), True):
            try:
                response = await self._http.request(
                    method,
                    self._url + path,
                    params={name: value for name, value in (params or {}).items() if value is not None},
                    json=json,
                    headers=headers,
                    timeout=self._timeout + waits,
                )
            except httpx.TransportError:
                if last:
                    raise Unavailable("Everlink cannot be reached") from None
                await asyncio.sleep(0.5)
                continue
            if _is_for_now(response) and not last:
                await asyncio.sleep(_pause(response))
                continue
            return _body(response)
        raise AssertionError("unreachable")

    async def lines(self, path: str) -> AsyncIterator[str]:
        """The lines of a streamed answer, as they come."""
        try:
            async with self._http.stream(
                "GET", self._url + path, headers=self._headers, timeout=self._timeout
            ) as response:
                if response.is_error:
                    await response.aread()
                    _body(response)
                async for line in response.aiter_lines():
                    yield line
        except httpx.TransportError:
            raise Unavailable("Everlink cannot be reached") from None

    async def close(self) -> None:
        if self._own is not None:
            own, self._own = self._own, None
            await own.aclose()


def segment(text: str) -> str:
    """A text as one segment of a path."""
    return quote(text, safe="")


def _is_for_now(response: httpx.Response) -> bool:
    """Whether the same request may fare better in a moment: a 409 says when, where the try before is under way."""
    return response.status_code in AGAIN or (response.status_code == 409 and "retry-after" in response.headers)


def _pause(response: httpx.Response) -> float:
    asked = response.headers.get("retry-after", "")
    return min(float(asked) if asked.isdigit() else 1.0, LONGEST_PAUSE)


def _body(response: httpx.Response) -> Any:
    if response.status_code == 204:
        return None
    try:
        body = response.json()
    except ValueError:
        if response.is_server_error:  # of whatever stands between
            raise Unavailable("Everlink cannot be reached", status=response.status_code) from None
        raise EverlinkError("the answer is no JSON: is this Everlink's address?", status=response.status_code) from None
    if not response.is_success:
        raise error_for(response.status_code, body if isinstance(body, dict) else {})
    return body
