"""Operators at the console: their browsers, and how they sign in."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import httpx
import pytest

from store.scope import Scope
from tests.api.conftest import Everlink
from tests.api.removing import scope_of

HOME = "/console"
PAGES = (HOME, "/console/applications", "/console/endpoints")
NEVER = "con_0123456789abcdef0123456789abcdef"


@pytest.fixture
async def scope(everlink: Everlink, product: httpx.AsyncClient) -> Scope:
    return await scope_of(everlink.made, product)


@pytest.fixture
async def browser(everlink: Everlink) -> AsyncIterator[httpx.AsyncClient]:
    async with visitor(everlink) as client:
        yield client


def visitor(everlink: Everlink) -> httpx.AsyncClient:
    """A browser that has nothing yet; its forms are sent from our own page."""
    return httpx.AsyncClient(base_url=everlink.url, headers={"origin": everlink.url}, follow_redirects=True, timeout=40)


async def sign_in(browser: httpx.AsyncClient, key: str, **form: str) -> httpx.Response:
    return await browser.post(HOME, data={"api_key": key, **form})


async def operator(browser: httpx.AsyncClient, product: httpx.AsyncClient, **form: str) -> None:
    assert (await sign_in(browser, product.headers["x-api-key"], **form)).status_code == 200


async def token(browser: httpx.AsyncClient) -> str:
    """What the forms of this session's pages bring."""
    found = re.search('name="token" value="([0-9a-f]+)"', (await browser.get(HOME)).text)
    assert found is not None
    return found[1]
