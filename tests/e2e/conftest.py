"""The whole of Everlink, as `make run` starts it, on free ports and in a folder of its own."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from playwright.async_api import Browser

from dev.config import StackConfig
from dev.stack import Stack
from tests.chromium import CHROMIUM, chromium
from tests.e2e import axe


@pytest.fixture(scope="session")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    async with Stack(StackConfig.on_free_ports(tmp_path_factory.mktemp("stack"))) as running:
        yield running


@pytest.fixture
async def product(stack: Stack) -> AsyncIterator[httpx.AsyncClient]:
    """A product's client for the linked account `acme`."""
    seed = json.loads((stack.config.state / "dev.json").read_text())
    headers = {"x-api-key": seed["api_key"], "linked_account_id": seed["linked_account_id"]}
    fresh = httpx.Limits(max_keepalive_connections=0)  # the API may close an idle one just as it is used again
    async with httpx.AsyncClient(base_url=stack.addresses.api, headers=headers, timeout=40, limits=fresh) as client:
        yield client


@pytest.fixture(scope="session")
async def launched() -> AsyncIterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    async with chromium() as browser:
        yield browser


@pytest.fixture
async def browser(launched: Browser) -> AsyncIterator[Browser]:
    """One browser for all tests: a context of it knows nothing of another's."""
    yield launched
    for context in launched.contexts:
        await context.close()


@pytest.fixture(scope="session")
def axe_script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """axe-core's."""
    return axe.unpack(tmp_path_factory.mktemp("axe"))
