"""Requests to providers and customers' servers: a total deadline, a cap on bytes, no redirects, no proxy."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.cookiejar import CookieJar, DefaultCookiePolicy
from math import isfinite
from typing import Any

import httpx
from pydantic_core import from_json

from providers.guard import GuardedTransport, TargetGuard, TargetRefused

DEADLINE_SECONDS = 20.0
MAX_BYTES = 1024 * 1024
GLANCE_SECONDS = 5.0  # for a body that decides nothing


class RequestFailed(Exception):
    """No complete answer. `sent` says whether the server may have acted on the request."""

    def __init__(self, message: str, *, sent: bool) -> None:
        super().__init__(message)
        self.sent = sent


@dataclass(frozen=True)
class Answer:
    """An answer. Its body may hold a secret and is never shown."""

    status: int
    headers: httpx.Headers = field(repr=False)
    body: bytes = field(repr=False)
    complete: bool = True  # all of the body

    @property
    def json(self) -> dict[str, Any] | None:
        """The body as a JSON object; None for anything else."""
        value = read_json(self.body)
        return value if isinstance(value, dict) else None

    def retry_after(self, now: datetime | None = None) -> float | None:
        """Seconds that the server asks to wait (RFC 9110 section 10.2.3); None where it does not."""
        text = self.headers.get("retry-after", "").strip()
        if text.isdecimal():
            return float(text[:9])
        try:
            moment = parsedate_to_datetime(text)
        except (ValueError, OverflowError):
            return None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return max(0.0, (moment - (now or datetime.now(UTC))).total_seconds())


def read_json(body: bytes) -> Any:
    """What a body says; None where it is no JSON.

    All of it can be kept: half a character, as of an emoji cut in two, becomes a question mark, a number
    that JSON does not have (`NaN`) becomes null, and what is nested deeper than what reads it again is none.
    """
    try:
        said = json.loads(body, parse_float=_finite, parse_constant=_finite)
        whole = json.dumps(said, ensure_ascii=False).encode(errors="replace")
        return from_json(whole)
    except (ValueError, RecursionError):
        return None


def _finite(number: str) -> float | None:
    value = float(number)
    return value if isfinite(value) else None


def make_client(guard: TargetGuard) -> httpx.AsyncClient:
    """The one client of a process, kept for its life: making one costs more than a request.

    It serves all tenants, so it keeps no cookies.
    """
    return httpx.AsyncClient(
        transport=GuardedTransport(guard),
        follow_redirects=False,
        trust_env=False,
        timeout=httpx.Timeout(DEADLINE_SECONDS, connect=10.0),
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        headers={"user-agent": "Everlink/0.1", "accept": "application/json", "accept-encoding": "identity"},
    )


async def send(
    client: httpx.AsyncClient,
    method: str,
    url: str,
    *,
    data: Mapping[str, str] | None = None,
    content: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    auth: tuple[str, str] | None = None,
    max_bytes: int = MAX_BYTES,
    deadline: float | None = None,
) -> Answer:
    """Send one request and read the answer whole, within `deadline` seconds in all.

    Raises:
        RequestFailed: malformed, refused, unreachable, cut off, too slow in all, or larger than `max_bytes`.
    """
    said = {"data": data, "content": content, "headers": headers}
    async with _answered(client, method, url, said, auth, deadline) as response:
        return Answer(response.status_code, response.headers, await _read(response, max_bytes))


async def glance(
    client: httpx.AsyncClient, method: str, url: str, *, content: bytes, headers: Mapping[str, str], max_bytes: int
) -> Answer:
    """Send one request and read the answer's head, on which all depends; of its body, what comes soon and has room.

    Raises:
        RequestFailed: malformed, refused, unreachable, or without a whole head in time.
    """
    head: httpx.Response | None = None
    body, complete, said = bytearray(), False, {"content": content, "headers": headers}
    try:
        async with _answered(client, method, url, said, None, None) as head, asyncio.timeout(GLANCE_SECONDS):
            async for chunk in head.aiter_raw(max_bytes):
                body += chunk
                if len(body) > max_bytes:
                    break
            else:
                complete = True
    except RequestFailed:
        if head is None:
            raise
    return Answer(head.status_code, head.headers, bytes(body[:max_bytes]), complete)


@asynccontextmanager
async def _answered(
    client: httpx.AsyncClient,
    method: str,
    url: str,
    said: Mapping[str, Any],
    auth: tuple[str, str] | None,
    deadline: float | None,
) -> AsyncIterator[httpx.Response]:
    """An answer whose head is whole; what goes wrong before or after is `RequestFailed`."""
    sent = False

    async def trace(step: str, _: Any) -> None:
        nonlocal sent
        sent = sent or step.endswith(".send_request_headers.started")

    try:
        request = client.build_request(method, url, **said, extensions={"trace": trace})
        async with asyncio.timeout(DEADLINE_SECONDS if deadline is None else deadline):
            response = await client.send(request, auth=auth, stream=True)
            try:
                yield response
            finally:
                await response.aclose()
    except TargetRefused:
        raise RequestFailed("the address is not allowed", sent=False) from None
    except (httpx.InvalidURL, httpx.LocalProtocolError, UnicodeError):
        raise RequestFailed("the request cannot be written", sent=False) from None
    except (TimeoutError, httpx.HTTPError) as error:
        if not sent:
            raise RequestFailed("the server could not be reached", sent=False) from None
        if isinstance(error, TimeoutError | httpx.TimeoutException):
            raise RequestFailed("the server did not answer in time", sent=True) from None
        raise RequestFailed("the connection broke before the answer was complete", sent=True) from None


async def _read(response: httpx.Response, max_bytes: int) -> bytes:
    body = bytearray()
    # Raw: we asked for no compression, and a server that compresses all the same gets no bomb through.
    async for chunk in response.aiter_raw(65536):
        body += chunk
        if len(body) > max_bytes:
            raise RequestFailed("the answer is too large", sent=True)
    return bytes(body)
