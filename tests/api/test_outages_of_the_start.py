"""The API started while what it needs is away: it lives, says what is missing, and works when that is back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from temporalio.testing import WorkflowEnvironment

from store.database import Database
from store.migrate import migrate
from tests.api.conftest import OAUTH_URL, running, settings_for
from tests.postgres import Postgres, binaries
from tests.sandbox_process import write_catalog

CONNECTION = "/v1/connections/con_" + "0" * 32


@pytest.fixture
async def stopped() -> AsyncIterator[Postgres]:
    """A migrated server that is down."""
    programs = binaries()
    if programs is None:
        pytest.skip("PostgreSQL is not installed")
    server = Postgres(programs)
    server.start()
    server.create("everlink")
    database = Database(server.url("everlink"))
    await migrate(database)
    await database.close()
    server.stop()
    yield server
    server.remove()


async def test_api_that_starts_before_its_database_works_when_that_is_there(
    stopped: Postgres, tmp_path: Path, sandbox: str, temporal: WorkflowEnvironment
) -> None:
    address = temporal.client.service_client.config.target_host
    settings = settings_for(stopped.url("everlink"), tmp_path, sandbox, address)
    async with running(settings, sandbox, worker=False) as everlink, httpx.AsyncClient(base_url=everlink.url) as anyone:
        assert (await anyone.get("/healthz")).status_code == 200
        anyone.headers["x-api-key"] = "tk_0123456789ab_secret"
        for method, path in (
            ("GET", "/readyz"),
            ("GET", "/v1/connections"),
            ("GET", f"{CONNECTION}/token"),
            ("POST", f"{CONNECTION}/refresh"),
            ("DELETE", CONNECTION),
            ("GET", "/v1/webhook-endpoints"),
            ("PUT", "/v1/applications/sandbox"),
        ):
            answer = await anyone.request(method, path, json={} if method == "PUT" else None)
            assert (answer.status_code, answer.json()["error_code"]) == (503, "database_unavailable"), path
            assert int(answer.headers["retry-after"]) > 0
            assert "127.0.0.1" not in answer.text and "asyncpg" not in answer.text
        anyone.cookies.set("everlink_browser", "mark")
        for path in ("/connect/start/secret", "/api/v1/sandbox/callback?state=a&code=b"):
            page = await anyone.get(path)
            assert page.status_code == 503 and "try again in a minute" in page.text
            assert page.headers["content-type"].startswith("text/html") and page.headers["cache-control"] == "no-store"
        stopped.start()
        try:
            assert (await anyone.get("/readyz")).json() == {"ok": True}
            assert (await anyone.get("/v1/connections")).status_code == 401
            assert (await anyone.get("/connect/start/secret")).status_code == 404
            product = await everlink.product()
            assert (await product.get("/v1/connections")).json() == {"connections": [], "next_cursor": None}
        finally:
            stopped.stop()


async def test_provider_whose_door_is_closed_costs_a_page_and_the_link_is_still_good(
    sqlite_url: str, tmp_path: Path, sandbox: str, temporal: WorkflowEnvironment
) -> None:
    address = temporal.client.service_client.config.target_host
    settings = settings_for(sqlite_url, tmp_path, sandbox, address)
    closed = {f"{sandbox}/o/token/": "http://127.0.0.1:9/o/token/"}
    write_catalog(tmp_path / "catalog", sandbox, **closed)
    async with running(settings, sandbox, worker=False) as broken:
        product = await broken.product()
        link = (await product.get(OAUTH_URL)).json()["auth_url"]
        async with broken.customer() as ada:
            for _ in range(2):  # the link may be tried again
                page = await ada.consent(link)
                assert page.status_code == 502 and "cannot be reached right now" in page.text
                assert page.headers["cache-control"] == "no-store"
        assert (await product.get("/v1/connections")).json()["connections"] == []
