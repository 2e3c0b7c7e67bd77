"""A provider whose customers have sites of their own: a real server, which says whatever a test has it say."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode
from uuid import uuid4

import uvicorn
import yaml
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

OUR_CLIENT = ("vendor", "vendor-secret")
ANSWERED = {"headers": {"Authorization": "Bearer {access_token}"}}


@dataclass
class Provider:
    """What it knows, and what it was asked."""

    url: str = ""
    account: str = "realm-1"  # who consents next
    customers: dict[str, str] = field(default_factory=dict)  # their own clients: id and secret
    tokens: dict[str, str] = field(default_factory=dict)  # living access tokens, and whose they are
    renewals: dict[str, str] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    refusal: tuple[int, dict[str, Any]] | None = None  # what the next token requests are answered
    lifetime: int = 3600
    scope: str | None = None  # what it says that it granted; None: nothing
    name: str | None = None  # of whoever consents; None: as the account

    def paths(self) -> list[str]:
        return [path for path, _ in self.asked]

    def grant(self, account: str, *, renewable: bool = True) -> dict[str, Any]:
        access, renewal = f"access-{uuid4().hex}", f"renewal-{uuid4().hex}"
        self.tokens[access] = account
        said = {
            "access_token": access,
            "expires_in": self.lifetime,
            "owner": {"id": f"user-{account}", "name": self.name or account},
        }
        if self.scope is not None:
            said["scope"] = self.scope
        if renewable:
            self.renewals[renewal] = account
            said["refresh_token"] = renewal
        return said

    async def authorize(self, request: Request) -> Response:
        query = request.query_params
        self.asked.append((request.url.path, dict(query)))
        code = f"{self.account}/{uuid4().hex}"
        more = {"code": code, "state": query["state"], "realmId": self.account, "scope": "all"}
        return RedirectResponse(f"{query['redirect_uri']}?{urlencode(more)}", 302)

    async def token(self, request: Request) -> Response:
        form, client = await self._form(request), _client(request)
        if self.refusal is not None:
            return JSONResponse(self.refusal[1], self.refusal[0])
        match form.get("grant_type"):
            case "client_credentials" if client is not None and self.customers.get(client[0]) == client[1]:
                return JSONResponse(self.grant(client[0], renewable=False))
            case "authorization_code" if client == OUR_CLIENT:
                return JSONResponse(self.grant(form["code"].partition("/")[0]))
            case "refresh_token" if client == OUR_CLIENT:
                account = self.renewals.pop(form["refresh_token"], None)
                return JSONResponse(self.grant(account)) if account else JSONResponse({"error": "invalid_grant"}, 400)
        return JSONResponse({"error": "invalid_client", "error_description": f"planted {form}"}, 401)

    async def me(self, request: Request) -> Response:
        self.asked.append((request.url.path, {}))
        account = self.tokens.get(request.headers.get("authorization", "").removeprefix("Bearer "))
        known = {"id": account, "site": request.path_params["site"]}
        return JSONResponse(known) if account else JSONResponse({"error": "bad token, planted"}, 401)

    async def introspect(self, request: Request) -> Response:
        form = await self._form(request)
        return JSONResponse({"active": form.get("token") in self.tokens})

    async def end(self, request: Request) -> Response:
        """A revocation of its own kind, or the end of the application there."""
        form = await self._form(request)
        token = form.get("access_token") or request.headers.get("authorization", "").removeprefix("Bearer ")
        self.tokens.pop(token, None)
        return JSONResponse({"ok": True})

    async def _form(self, request: Request) -> dict[str, str]:
        body = await request.body()
        kind = request.headers.get("content-type", "")
        form: dict[str, str] = json.loads(body) if "json" in kind else dict(parse_qsl(body.decode()))
        self.asked.append((request.url.path, form))
        return form


def _client(request: Request) -> tuple[str, str] | None:
    scheme, _, text = request.headers.get("authorization", "").partition(" ")
    if scheme != "Basic":
        return None
    name, _, secret = base64.b64decode(text).decode().partition(":")
    return name, secret


@asynccontextmanager
async def running_provider() -> AsyncIterator[Provider]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    provider = Provider(url=f"http://127.0.0.1:{port}")
    routes = [
        Route("/{site}/authorize", provider.authorize),
        Route("/{site}/token", provider.token, methods=["POST"]),
        Route("/{site}/refresh", provider.token, methods=["POST"]),
        Route("/{site}/introspect", provider.introspect, methods=["POST"]),
        Route("/{site}/me", provider.me),
        Route("/{site}/install", provider.end, methods=["DELETE"]),
        Route("/apps/{client}/grant", provider.end, methods=["DELETE"]),
    ]
    server = uvicorn.Server(uvicorn.Config(Starlette(routes=routes), port=port, log_level="warning", ws="none"))
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.02)
    try:
        yield provider
    finally:
        server.should_exit = True
        await serving


def write_entries(folder: Path, url: str) -> None:
    """Its applications' catalog entries: one of each kind that the sandbox is not."""
    for slug, about in _entries(url).items():
        entry = {"slug": slug, "name": slug.title(), "description": "At a provider with sites.", **about}
        (folder / f"{slug}.yaml").write_text(yaml.safe_dump(entry))


def _entries(url: str) -> dict[str, dict[str, Any]]:
    site = {"name": "site", "label": "Your site", "type": "text", "pattern": "[a-z0-9-]{2,20}"}
    plan = {"name": "plan", "label": "Plan", "type": "select", "options": ["a", "b"], "required": False}
    secret = {"name": "client_secret", "label": "Secret"}
    me = {"url": f"{url}/{{site}}/me", **ANSWERED}
    return {
        "shop": {
            "auth_type": "oauth2",
            "fields": [site, plan],
            "oauth2": {
                "authorize_url": f"{url}/{{site}}/authorize",
                "token_url": f"{url}/{{site}}/token",
                "refresh_url": f"{url}/{{site}}/refresh",
                "introspect_url": f"{url}/{{site}}/introspect",
                "revoke": {
                    "method": "DELETE",
                    "url": f"{url}/apps/{{client_id}}/grant",
                    "basic": ["{client_id}", "{client_secret}"],
                    "body": {"access_token": "{access_token}"},
                    "success": {"field": "ok", "code": True},
                },
                "uninstall": {"method": "DELETE", "url": f"{url}/{{site}}/install", **ANSWERED},
                "dead": [
                    {"code": "invalid_grant"},
                    {"code": "deleted_client", "reason": "application_deleted"},
                ],
            },
            "identity": {"id": "callback.realmId", "name": "token.owner.name", "keys": {"user": "token.owner.id"}},
        },
        "machine": {
            "auth_type": "keybased",
            "fields": [{"name": "client_id", "label": "Id", "type": "text"}, secret, site],
            "oauth2": {"grant": "client_credentials", "token_url": f"{url}/{{site}}/token"},
            "probe": me,
            "identity": {"id": "probe.id", "keys": {"site": "given.site"}},
        },
    }
