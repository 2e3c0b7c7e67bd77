"""Two real servers, of other people each, pass the same life: the sandbox (django-oauth-toolkit) and oidc-provider."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any, Protocol
from urllib.parse import urljoin

import httpx
import pytest

from tests.api.conftest import Everlink, until_status
from tests.oidc.process import CLIENT, running_oidc

SLUG = "own-oidc"


class Server(Protocol):
    slug: str

    async def enable(self, product: httpx.AsyncClient) -> None: ...
    async def consent(self, link: str, account: str = "ada") -> httpx.Response: ...
    async def take_back(self) -> None: ...
    async def lives(self) -> bool: ...


class Sandbox:
    slug = "sandbox"

    def __init__(self, everlink: Everlink) -> None:
        self._everlink = everlink

    async def enable(self, product: httpx.AsyncClient) -> None:
        """It is."""

    async def consent(self, link: str, account: str = "ada") -> httpx.Response:
        async with self._everlink.customer(account) as customer:
            return await customer.consent(link)

    async def take_back(self) -> None:
        async with self._everlink.customer() as ada:
            await ada.revoke()

    async def lives(self) -> bool:
        async with self._everlink.customer() as ada:
            return (await ada.live_tokens())["refresh"] > 0


class Oidc:
    slug = SLUG

    def __init__(self, issuer: str) -> None:
        self._issuer = issuer

    async def enable(self, product: httpx.AsyncClient) -> None:
        """As an application of one's own, of which the server itself says most."""
        drafted = await product.post("/v1/catalog/discover", json={"issuer": self._issuer})
        definition = drafted.json()["definition"]
        definition["oauth2"] |= {
            "scopes": ["openid", "email", "profile", "offline_access"],
            "authorize_params": {"prompt": "consent"},
        }
        saved = await product.put(f"/v1/catalog/{SLUG}", json=definition)
        assert saved.status_code == 200, saved.text
        assert (await product.put(f"/v1/applications/{SLUG}", json=CLIENT)).status_code == 200

    async def consent(self, link: str, account: str = "ada") -> httpx.Response:
        async with httpx.AsyncClient(follow_redirects=True, timeout=30) as browser:
            page = await browser.get(link)
            while form := re.search(r'<form[^>]* action="([^"]+)" method="post">(.*?)</form>', page.text, re.DOTALL):
                hidden = dict(re.findall(r'type="hidden" name="([^"]+)" value="([^"]+)"', form[2]))
                filled = {"login": account, "password": "any"} if hidden["prompt"] == "login" else {}
                page = await browser.post(urljoin(str(page.url), form[1]), data=hidden | filled)
            return page

    async def take_back(self) -> None:
        await self._control("DELETE")

    async def lives(self) -> bool:
        return await self._control("GET")

    async def _control(self, method: str) -> bool:
        async with httpx.AsyncClient() as client:
            return bool((await client.request(method, f"{self._issuer}/control/ada")).json()["alive"])


@pytest.fixture(scope="session")
async def oidc(everlink: Everlink, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    redirect_uri = f"{everlink.url}/api/v1/{SLUG}/callback"
    async with running_oidc(tmp_path_factory.mktemp("oidc"), redirect_uri) as issuer:
        yield issuer


@pytest.fixture(params=["django-oauth-toolkit", "oidc-provider"])
def server(request: pytest.FixtureRequest, everlink: Everlink) -> Server:
    return Oidc(request.getfixturevalue("oidc")) if request.param == "oidc-provider" else Sandbox(everlink)


async def test_real_server_passes_the_life(everlink: Everlink, product: httpx.AsyncClient, server: Server) -> None:
    await server.enable(product)
    link = f"/api/v2/public/linked-account/integration/oauth-url/{server.slug}"
    page = await server.consent((await product.get(link)).json()["auth_url"])
    assert page.status_code == 200, page.text
    [connection] = (await product.get("/v1/connections")).json()["connections"]
    path = f"/v1/connections/{connection['id']}"
    assert connection["status"] == "active" and connection["identifier"] not in ("", "default")

    first = (await product.get(f"{path}/token")).json()["access_token"]
    for generation in (2, 3):  # each with the refresh token that the one before has brought
        refreshed = (await product.post(f"{path}/refresh")).json()
        assert (refreshed["verdict"], refreshed["generation"]) == ("ok", generation)
    assert (await product.get(f"{path}/token")).json()["access_token"] != first and await server.lives()

    await server.take_back()
    await product.post(f"{path}/refresh")
    assert (await until_status(product, connection["id"], "reauth_required"))["reason"] == "access_revoked"

    assert (await reconnect(product, server, path, "grace")).status_code == 409
    assert (await reconnect(product, server, path)).status_code == 200
    mended = await until_status(product, connection["id"], "active")
    assert (mended["id"], mended["identifier"]) == (connection["id"], connection["identifier"])
    assert (await product.post(f"{path}/refresh")).json()["verdict"] == "ok" and await server.lives()

    await product.delete(path)
    async with asyncio.timeout(20):
        while (told := await timeline(product, path))[-2]["status"] != "disconnected":
            await asyncio.sleep(0.05)
    assert told[-1]["note"] == "revoked at the provider" and not await server.lives()


async def reconnect(product: httpx.AsyncClient, server: Server, path: str, account: str = "ada") -> httpx.Response:
    return await server.consent((await product.post(f"{path}/reconnect")).json()["connect_url"], account)


async def timeline(product: httpx.AsyncClient, path: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await product.get(f"{path}/events")).json()["transitions"]
    return found
