"""A client as the service makes it, that may reach this machine."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

import providers.http
from providers.guard import TargetGuard
from providers.http import make_client

DEADLINE = 0.5


@pytest.fixture
async def client(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[httpx.AsyncClient]:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with make_client(TargetGuard(["127.0.0.1"])) as made:
        yield made


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A short deadline, for the tests that wait for it; the others must not fail on a slow machine."""
    monkeypatch.setattr(providers.http, "DEADLINE_SECONDS", DEADLINE)
