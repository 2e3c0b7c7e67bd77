"""Pages of other origins (CORS): only the routes that take a session token answer them, and never with cookies.

Which origins may is the organization's to say, and only the token tells the organization: a preflight, which carries
none, allows any origin, and the request that follows it is checked. `null` stands for nobody in particular, and is
never allowed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from typing import Annotated, Any

from fastapi import APIRouter, Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from pydantic import AfterValidator, Field
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import ANSWER_HEADERS, ApiError

PREFLIGHT = {
    "access-control-allow-headers": "authorization, content-type, idempotency-key, if-none-match",
    "access-control-max-age": "600",
}
READABLE = "etag, idempotent-replayed, retry-after, x-request-id"
ORIGIN = re.compile(
    r"https://(?:[a-z0-9-]+\.)*[a-z0-9-]+(?::[1-9]\d{0,4})?"
    r"|http://(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::[1-9]\d{0,4})?"
)


def exact_origin(text: str) -> str:
    """The text, if it is an origin as a browser sends it.

    Raises:
        ValueError: it is something else.
    """
    if ORIGIN.fullmatch(text) is None or text.endswith(":443" if text.startswith("https") else ":80"):
        raise ValueError(
            "an origin is https://host[:port], or http for this machine, in the letters that browsers send"
        )
    return text


Origin = Annotated[
    str,
    Field(
        max_length=255,
        json_schema_extra={"pattern": rf"^(?!https:.*:443$)(?!http:.*:80$)(?:{ORIGIN.pattern})$"},
    ),
    AfterValidator(exact_origin),
]


async def for_browsers() -> None:
    """A dependency that does nothing: it marks a route which pages of other origins may call."""


def check_origin(request: Request, allowed: Collection[str]) -> None:
    """Refuse a page that may not use the session token which it holds; without an origin, it is no page.

    Raises:
        ApiError: 403, which the page cannot read.
    """
    origin = request.headers.get("origin")
    if origin is None or (origin != "null" and (not allowed or origin in allowed)):
        return
    request.scope.pop(ANSWER_HEADERS, None)
    raise ApiError(403, "origin_not_allowed", "this origin may not use session tokens")


class Cors:
    """Gives the answers of the marked routes the headers that let a page read them."""

    def __init__(self, app: ASGIApp, routers: Collection[APIRouter]) -> None:
        self._app = app
        self._routes = [
            route
            for router in routers
            for route in router.routes
            if isinstance(route, APIRoute) and for_browsers in _calls(route.dependant)
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope) if scope["type"] == "http" else {}
        origin = headers.get("origin")
        if origin is None or origin == "null" or "x-api-key" in headers:  # a key has no place in a browser
            await self._app(scope, receive, send)
            return
        asked = headers.get("access-control-request-method") if scope["method"] == "OPTIONS" else None
        if not self._marked(scope["path"], asked or scope["method"]):
            await self._app(scope, receive, send)
            return
        allowed = {"access-control-allow-origin": origin, "vary": "origin"}
        if asked is not None:
            preflight = Response(None, 204, allowed | PREFLIGHT | {"access-control-allow-methods": asked})
            await preflight(scope, receive, send)
            return
        scope[ANSWER_HEADERS] = allowed | {"access-control-expose-headers": READABLE}

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer = MutableHeaders(scope=message)
                for name, value in scope.get(ANSWER_HEADERS, {}).items():
                    answer.append(name, value)
            await send(message)

        await self._app(scope, receive, send_with_headers)

    def _marked(self, path: str, method: str) -> bool:
        return any(method in (route.methods or ()) and route.path_regex.match(path) for route in self._routes)


def _calls(dependant: Dependant) -> Iterator[Callable[..., Any] | None]:
    yield dependant.call
    for part in dependant.dependencies:
        yield from _calls(part)
