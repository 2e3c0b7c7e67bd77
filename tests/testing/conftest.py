"""A user's tests: servers without anything of Everlink's, and a stand-in of a provider."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import httpx
import pytest
from temporalio import activity
from temporalio.testing import WorkflowEnvironment

import everlink
from everlink.testing import FakeConnection, FakeEverlink
from tests.servers import BIN
from tests.testing.users import PROVIDER


@pytest.fixture(params=["skipping", "local"])
async def environment(request: pytest.FixtureRequest) -> AsyncIterator[WorkflowEnvironment]:
    """Both kinds of server."""
    if request.param == "skipping":
        start = WorkflowEnvironment.start_time_skipping(test_server_existing_path=str(BIN / "temporal-test-server"))
    else:
        start = WorkflowEnvironment.start_local(
            dev_server_existing_path=str(BIN / "temporal"), dev_server_log_level="error"
        )
    async with await start as started:
        yield started


@pytest.fixture
async def skipping() -> AsyncIterator[WorkflowEnvironment]:
    async with await WorkflowEnvironment.start_time_skipping(
        test_server_existing_path=str(BIN / "temporal-test-server")
    ) as started:
        yield started


@pytest.fixture
def fake() -> FakeEverlink:
    return FakeEverlink()


@pytest.fixture
def connection(fake: FakeEverlink) -> FakeConnection:
    return fake.connection("slack", linked_account_id="acme")


Read = Callable[[str], Awaitable[str]]


@pytest.fixture
def read(connection: FakeConnection) -> Read:
    """An activity that reads from a provider, which knows who is connected."""

    def provider(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200 if connection.accepts(request) else 401, text="read")

    @activity.defn
    async def read(connection_id: str) -> str:
        transport = httpx.MockTransport(provider)
        async with everlink.http(connection_id, base_url=PROVIDER, transport=transport) as http:
            return (await http.get("/items")).raise_for_status().text

    return read
