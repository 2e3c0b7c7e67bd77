"""A provider that takes keys in many ways and refuses them in many, as those of the catalog do."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

KEY = {"name": "api_key", "label": "Key"}


@dataclass
class Odd:
    url: str = ""
    keys: set[str] = field(default_factory=set)  # that it accepts
    asked: list[Request] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    is_down: bool = False
    goes_on: asyncio.Event = field(default_factory=asyncio.Event)  # what streams waits for it in its middle

    def definitions(self) -> dict[str, dict[str, Any]]:
        """Its applications, by their slugs, as an organization would define them."""
        chat = {
            "probe": {
                "url": f"{self.url}/chat/me",
                "headers": {"Authorization": "Bearer {api_key}"},
                "success": {"field": "ok", "code": True},
                "dead": [{"field": "error", "code": "token_revoked"}],
            }
        }
        phone = {
            "fields": [{"name": "sid", "label": "SID", "type": "text"}, KEY],
            "probe": {
                "url": f"{self.url}/phone/me",
                "basic": ["{sid}", "{api_key}"],
                "dead": [{"status": 401, "field": "code", "code": 20003}],
            },
        }
        query = {"probe": {"url": f"{self.url}/query/me?api_key={{api_key}}&v=2"}}
        shop = {"probe": {"url": f"{self.url}/shop/me", "headers": {"X-Shop-Token": "{api_key}", "Accept": "*/*"}}}
        known = {"own-chat": chat, "own-phone": phone, "own-query": query, "own-shop": shop}
        common = {"description": "Odd.", "auth_type": "keybased", "fields": [KEY]}
        return {slug: {"name": slug, **common, **about} for slug, about in known.items()}

    def last(self) -> Request:
        return self.asked[-1]

    async def chat(self, request: Request) -> Response:
        key = await self._key(request, request.headers.get("authorization", "").removeprefix("Bearer "))
        return JSONResponse({"ok": True} if key else {"ok": False, "error": "token_revoked"})

    async def phone(self, request: Request) -> Response:
        plain = base64.b64decode(request.headers.get("authorization", "").removeprefix("Basic ")).decode()
        if self.is_down:
            return JSONResponse({"code": 20500}, 500)
        if not await self._key(request, plain.partition(":")[2]):
            return JSONResponse({"code": 20003}, 401)
        return JSONResponse({"code": 20404}, 401) if request.path_params["what"] == "strange" else JSONResponse({})

    async def query(self, request: Request) -> Response:
        return self._plain(await self._key(request, request.query_params.get("api_key", "")))

    async def shop(self, request: Request) -> Response:
        key = await self._key(request, request.headers.get("x-shop-token", ""))
        if request.path_params["what"] == "admin":
            return JSONResponse({"error": "not yours"}, 401)
        if self.is_down:
            return JSONResponse({}, 503)
        return self._plain(key)

    async def redirect(self, request: Request) -> Response:
        await self._key(request, "")
        return RedirectResponse(request.query_params["to"], 307)

    async def download(self, request: Request) -> Response:
        """A JSON answer that goes on for long."""

        async def parts() -> AsyncIterator[bytes]:
            yield b'["' + b"x" * 200_000
            await self.goes_on.wait()
            yield b'"]'

        await self._key(request, "")
        return StreamingResponse(parts(), media_type="application/json")

    async def _key(self, request: Request, key: str) -> bool:
        self.asked.append(request)
        self.bodies.append(await request.body())
        return key in self.keys

    def _plain(self, accepted: bool) -> Response:
        return JSONResponse({}) if accepted else JSONResponse({"error": "no"}, 401)


@asynccontextmanager
async def running_odd() -> AsyncIterator[Odd]:
    odd = Odd()
    routes = [
        Route("/redirect", odd.redirect),
        Route("/download", odd.download),
        *(
            Route(f"/{name}/{{what}}", endpoint, methods=["GET", "POST"])
            for name, endpoint in {"chat": odd.chat, "phone": odd.phone, "query": odd.query, "shop": odd.shop}.items()
        ),
    ]
    server = uvicorn.Server(uvicorn.Config(Starlette(routes=routes), port=0, log_level="warning", ws="none"))
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.02)
    odd.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    try:
        yield odd
    finally:
        odd.goes_on.set()
        server.should_exit = True
        await serving
