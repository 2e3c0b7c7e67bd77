"""ETags of what can be polled: an answer that says nothing new is a 304 without a body."""

from __future__ import annotations

import hashlib

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send


def weak_etag(content: bytes) -> str:
    """Weak, since what it stands for may be said in other bytes: compressed by a proxy, or at another `as_of`."""
    return f'W/"{hashlib.blake2b(content, digest_size=12).hexdigest()}"'


class ETags:
    """Tags each JSON answer to a GET that may be kept. A handler that knows better gives the tag itself."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "GET":
            await self._app(scope, receive, send)
            return
        held: Message | None = None

        async def send_tagged(message: Message) -> None:
            nonlocal held
            if message["type"] == "http.response.start" and _is_tagged(message):
                held = message
                return
            if held is not None:
                start, held = held, None
                if not message.get("more_body", False):  # a stream goes on as it is
                    start, message = _tagged(scope, start, message)
                await send(start)
            await send(message)

        await self._app(scope, receive, send_tagged)


def _is_tagged(start: Message) -> bool:
    headers = Headers(raw=start["headers"])
    polled = "etag" in headers or headers.get("content-type", "").startswith("application/json")
    return start["status"] == 200 and polled and "no-store" not in headers.get("cache-control", "")


def _tagged(scope: Scope, start: Message, body: Message) -> tuple[Message, Message]:
    headers = MutableHeaders(raw=start["headers"])
    tag = headers.setdefault("etag", weak_etag(body.get("body", b"")))
    headers.setdefault("cache-control", "private, no-cache")  # kept by nobody but the caller, who asks again
    known = [part.strip().removeprefix("W/") for part in Headers(scope=scope).get("if-none-match", "").split(",")]
    if "*" not in known and tag.removeprefix("W/") not in known:
        return start, body
    for name in ("content-length", "content-type"):
        del headers[name]
    return {**start, "status": 304}, {**body, "body": b""}
