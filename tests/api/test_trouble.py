"""Temporal away, the worker away, the provider away, a defect: what is said, and that nothing is lost."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from api import temporal
from store.database import utc_now
from tests.api.conftest import Everlink, running, settings_for
from tests.sandbox_process import running_sandbox
from tests.servers import start_dev_server

CLOSED = "127.0.0.1:9"


async def test_temporal_away_leaves_every_read_and_refuses_every_command_alike(
    everlink: Everlink, product: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = await everlink.connect(product)
    nobody = await Client.connect(CLOSED, data_converter=pydantic_data_converter, lazy=True)
    monkeypatch.setattr(everlink.made, "temporal", nobody)
    base = f"/v1/connections/{connection}"
    for path in (base, f"{base}/token", f"{base}/events", f"{base}/deliveries", "/api/v2/public/application"):
        assert (await product.get(path)).status_code == 200, path
    for method, path in (("POST", f"{base}/refresh"), ("POST", f"{base}/report"), ("DELETE", base)):
        answer = await product.request(method, path, json={})
        assert (answer.status_code, answer.json()["error_code"]) == (503, "temporal_unavailable"), path
        assert int(answer.headers["retry-after"]) > 0
    assert (await product.get(base)).json()["status"] == "active"


async def test_token_that_cannot_be_refreshed_now_is_given_for_as_long_as_it_lives(
    everlink: Everlink, product: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = f"/v1/connections/{await everlink.connect(product)}/token"
    nobody = await Client.connect(CLOSED, data_converter=pydantic_data_converter, lazy=True)
    monkeypatch.setattr(everlink.made, "temporal", nobody)
    monkeypatch.setattr(everlink.made, "clock", lambda: utc_now() + timedelta(minutes=59))
    assert (await product.get(path, params={"min_ttl": 300})).status_code == 200
    monkeypatch.setattr(everlink.made, "clock", lambda: utc_now() + timedelta(hours=1))
    for min_ttl in (0, 300):
        answer = await product.get(path, params={"min_ttl": min_ttl})
        assert (answer.status_code, answer.json()["error_code"]) == (503, "temporal_unavailable")


async def test_defect_is_a_500_that_tells_nothing(
    everlink: Everlink, product: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise KeyError("planted-secret")

    monkeypatch.setattr(everlink.made.connections, "page", broken)
    answer = await product.get("/v1/connections")
    assert (answer.status_code, answer.json()["error_code"]) == (500, "internal_error")
    request_id = answer.json()["request_id"]
    assert request_id and answer.headers["x-request-id"] == request_id
    assert any(request_id in record.getMessage() for record in caplog.records if record.name == "everlink.api")
    assert "planted" not in answer.text and "KeyError" not in answer.text and "Traceback" not in answer.text


async def test_defect_in_the_connect_flow_does_not_log_the_link(
    everlink: Everlink, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise KeyError("what it may be")

    monkeypatch.setattr(everlink.made.tickets, "open", broken)
    async with httpx.AsyncClient(base_url=everlink.url) as anyone:
        with caplog.at_level("INFO", "everlink"):
            assert (await anyone.get("/connect/start/planted-secret?x=planted-secret")).status_code == 500
    ours = [record.getMessage() for record in caplog.records if record.name.startswith(("everlink", "uvicorn"))]
    assert any("defect: KeyError at /connect/start/{secret}" in line for line in ours)
    assert "planted-secret" not in str(ours)


async def test_worker_away_is_waited_for_only_so_long(
    sqlite_url: str, tmp_path: Path, sandbox: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with await start_dev_server() as server:
        address = server.client.service_client.config.target_host
        settings = settings_for(sqlite_url, tmp_path, sandbox, address)
        async with running(settings, sandbox) as everlink:
            product = await everlink.product()
            connection = await everlink.connect(product)
            key = product.headers["x-api-key"]
        path = f"/v1/connections/{connection}"
        async with (
            running(settings, sandbox, worker=False) as everlink,
            httpx.AsyncClient(base_url=everlink.url, headers={"x-api-key": key}, timeout=40) as client,
        ):
            monkeypatch.setattr(temporal, "TIMEOUT", timedelta(seconds=0.5))
            assert (await client.get(f"{path}/token")).status_code == 200
            answer = await client.post(f"{path}/refresh")
            assert (answer.status_code, answer.json()["error_code"]) == (503, "still_working")
            link = (await client.post(f"{path}/reconnect")).json()["connect_url"]
            async with everlink.customer() as ada:
                page = await ada.consent(link)
            assert page.status_code == 503 and "try again in a minute" in page.text
        monkeypatch.undo()
        async with (
            running(settings, sandbox) as everlink,
            httpx.AsyncClient(base_url=everlink.url, headers={"x-api-key": key}, timeout=40) as client,
        ):
            assert (await client.post(f"{path}/refresh")).json()["status"] == "active"


async def test_provider_away_gives_no_expired_token_and_flags_nobody(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with await start_dev_server() as server:
        address = server.client.service_client.config.target_host
        async with running_sandbox(tmp_path, SANDBOX_ACCESS_TOKEN_SECONDS="3600") as sandbox:
            settings = settings_for(sqlite_url, tmp_path, sandbox, address)
            async with running(settings, sandbox) as everlink:
                product = await everlink.product()
                connection = await everlink.connect(product)
                key = product.headers["x-api-key"]
        async with (
            running(settings, sandbox) as everlink,
            httpx.AsyncClient(base_url=everlink.url, headers={"x-api-key": key}, timeout=40) as client,
        ):
            path = f"/v1/connections/{connection}"
            monkeypatch.setattr(everlink.made, "clock", lambda: utc_now() + timedelta(hours=1))
            answer = await client.get(f"{path}/token", params={"min_ttl": 0})
            assert (answer.status_code, answer.json()["error_code"]) == (503, "refresh_failed")
            monkeypatch.setattr(everlink.made, "clock", lambda: utc_now() + timedelta(minutes=59))
            monkeypatch.setattr(temporal, "TIMEOUT", timedelta(seconds=0.5))  # a round of tries is under way
            assert (await client.get(f"{path}/token", params={"min_ttl": 300})).status_code == 200
            assert (await client.get(path)).json()["status"] == "active"
