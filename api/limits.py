"""How much and how often: the rate of each caller and address, the size of headers and bodies."""

from __future__ import annotations

import math
import time

from fastapi import Request
from limits import RateLimitItem, parse
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter
from starlette.types import ASGIApp, Receive, Scope, Send

from api.errors import ApiError, render
from api.inputs import MAX_BODY_BYTES
from store.settings import Settings

MAX_HEADER_BYTES = 32_768  # with the address
FAILURE_COST = 50  # a refused key or token counts as so many requests of its address
UNLIMITED = frozenset({"/healthz", "/readyz"})


class RateLimitInvalid(ValueError):
    """A setting names no rate."""


class RateLimits:
    """Counts requests in this process. Nobody shares a count with another process."""

    def __init__(self, settings: Settings) -> None:
        self._limiter = FixedWindowRateLimiter(MemoryStorage())
        self._caller = _rate("EVERLINK_KEY_RATE_LIMIT", settings.key_rate_limit)
        self._address = _rate("EVERLINK_ADDRESS_RATE_LIMIT", settings.address_rate_limit)

    def count_caller(self, caller_id: str) -> None:
        """One more request of an API key or a session token.

        Raises:
            ApiError: 429, it had too many.
        """
        self._count(self._caller, "caller", caller_id)

    def count_address(self, address: str) -> None:
        """One more request of an address.

        Raises:
            ApiError: 429, it had too many.
        """
        self._count(self._address, "address", address)

    def count_failure(self, request: Request) -> None:
        """Its address showed a key or token that is not valid: guessing is slow."""
        if self._address is not None:
            self._limiter.hit(self._address, "address", address_of(request.scope), cost=FAILURE_COST)

    def _count(self, rate: RateLimitItem | None, kind: str, whose: str) -> None:
        if rate is None or self._limiter.hit(rate, kind, whose):
            return
        left = self._limiter.get_window_stats(rate, kind, whose).reset_time - time.time()
        headers = {"retry-after": str(max(1, math.ceil(left)))}
        raise ApiError(429, "too_many_requests", f"this {kind} has made too many requests", headers=headers)


def _rate(setting: str, text: str) -> RateLimitItem | None:
    if not text.strip():
        return None
    try:
        return parse(text)
    except ValueError:
        raise RateLimitInvalid(f"{setting} is written as 100/second, or left empty") from None


def address_of(scope: Scope) -> str:
    """The peer's address, or what a trusted proxy forwarded (`api/__main__.py`)."""
    client = scope.get("client")
    return client[0] if client else ""


class Limits:
    """Refuses what is too much before anything else looks at it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] not in UNLIMITED:
            try:
                scope["app"].state.services.limits.count_address(address_of(scope))
                _check_size(scope)
            except ApiError as error:
                await render(Request(scope), error)(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _check_size(scope: Scope) -> None:
    """The size that is declared; a body that declares none is counted as it comes.

    Raises:
        ApiError: 413 or 431.
    """
    size = len(scope["raw_path"]) + len(scope["query_string"])
    for name, value in scope["headers"]:
        size += len(name) + len(value)
        if name == b"content-length" and int(value) > MAX_BODY_BYTES:
            raise ApiError(413, "body_too_large", "the body is too large")
    if size > MAX_HEADER_BYTES:
        raise ApiError(431, "headers_too_large", "the address and headers are too large")
