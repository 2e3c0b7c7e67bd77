"""The promises of `make demo`, observed on the whole of Everlink."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sqlite3
import sys
from pathlib import Path

import httpx
import pytest
from temporalio.client import Client

from dev.config import ROOT, VARIABLES, StackConfig
from dev.stack import Stack
from sandbox.customer import Customer


@pytest.mark.long
async def test_demo_observes_every_step(stack: Stack) -> None:
    code, out, err = await demo(stack.config.state)
    assert code == 0, out + err
    assert len(re.findall(r"^\d\d:\d\d:\d\d ", out, re.M)) == 15
    assert out.count("/workflows/connection%2Fcon_") == 2


async def test_demo_without_a_sandbox_names_the_step_that_fails(tmp_path: Path) -> None:
    config = StackConfig.on_free_ports(tmp_path)
    ports = {VARIABLES[f"{name}_port"]: str(port) for name, port in config.ports.items()}
    code, _, err = await demo(tmp_path, SANDBOX_URL="http://127.0.0.1:9", **ports)
    assert code == 1
    assert err.splitlines()[-1].startswith("step failed: connected by authorization code with PKCE")


async def demo(state: Path, **variables: str) -> tuple[int | None, str, str]:
    """`make demo`, on the stack that runs in this folder, or one of its own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "dev.demo",
        env={**os.environ, "EVERLINK_STATE_DIR": str(state), **variables},
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def test_no_secret_is_in_temporal_logs_or_database(stack: Stack, product: httpx.AsyncClient) -> None:
    """The sandbox's own database tells every token that was ever granted; none may be found on our side."""
    state = stack.config.state
    sandbox = Customer(stack.addresses.sandbox, "grace", "grace-password")
    planted = {"sandbox-secret", product.headers["x-api-key"].split("_", 2)[2]}
    planted.add((state / "master.key").read_text().split(":")[1])
    async with sandbox:
        link = await product.get("/api/v2/public/linked-account/integration/oauth-url/sandbox")
        assert (await sandbox.consent(link.json()["auth_url"])).status_code == 200
        _, key = await sandbox.create_key()
        saved = await product.put(
            "/api/v2/public/linked-account/integration/save-key-credentials/sandbox-key", json={"api_key": key}
        )
        assert saved.status_code == 200
        planted |= {key, link.json()["auth_url"].rsplit("/", 1)[1]}
        listed = (await product.get("/v1/connections", params={"status": "active"})).json()["connections"]
        mine = next(item["id"] for item in listed if item["identifier"] == "grace@globex.example")
        for _ in range(2):
            token = await product.get(f"/v1/connections/{mine}/token")
            planted |= {token.json()["access_token"] or key}
            await product.post(f"/v1/connections/{mine}/refresh")
    given = await product.post("/api/v2/public/session-token", json={"linked_account_id": "acme"})
    planted |= {given.json()["token"], given.json()["refresh_token"]}
    bearer = {"authorization": f"Bearer {given.json()['token']}"}
    hosted = await product.post("/api/v2/public/connect-url", json={}, headers=bearer)
    opened = await product.get(hosted.json()["hosted_url"])
    planted |= {hosted.json()["hosted_url"].rsplit("/", 1)[1], opened.cookies["everlink_session"]}
    endpoint = {"url": "http://127.0.0.1:9/", "events": ["Connection Expired"]}
    hook = await product.post("/v1/webhook-endpoints", json=endpoint)
    planted.add(hook.json()["secret"].removeprefix("whsec_"))
    with sqlite3.connect(state / "sandbox.sqlite3") as database:
        planted |= {row[0] for row in database.execute("SELECT token FROM oauth2_provider_refreshtoken")}
        planted |= {row[0] for row in database.execute("SELECT token FROM oauth2_provider_accesstoken")}
    assert len(planted) >= 12

    told = await _everything_temporal_knows(stack)
    told |= {str(file): file.read_bytes() for file in (state / "logs").iterdir()}
    told |= {str(file): file.read_bytes() for file in state.glob("everlink.sqlite3*")}
    told |= {str(file): file.read_bytes() for file in state.glob("temporal.sqlite3*")}
    assert any(mine.encode() in text for text in told.values())  # the search does find what is there
    for secret in planted:
        found = [where for where, text in told.items() if secret.encode() in text]
        assert not found, f"a planted secret of {len(secret)} characters is in {found}"


async def _everything_temporal_knows(stack: Stack) -> dict[str, bytes]:
    """Every event of every history, raw, and what the lists show."""
    client = await Client.connect(stack.addresses.temporal)
    told: dict[str, bytes] = {}
    async for execution in client.list_workflows(""):
        handle = client.get_workflow_handle(execution.id, run_id=execution.run_id)
        events = b"".join([event.SerializeToString() async for event in handle.fetch_history_events()])
        told[execution.id] = events + execution.raw_info.SerializeToString()
    assert len(told) >= 2
    return told


async def test_second_start_picks_up_where_the_first_stopped(tmp_path: Path) -> None:
    config = StackConfig.on_free_ports(tmp_path)
    async with Stack(config) as first:
        api_key = json.loads((tmp_path / "dev.json").read_text())["api_key"]
        headers = {"x-api-key": api_key, "linked_account_id": "acme"}
        async with (
            httpx.AsyncClient(base_url=first.addresses.api, headers=headers, timeout=40) as product,
            Customer(first.addresses.sandbox, "ada", "ada-password") as ada,
        ):
            link = await product.get("/api/v2/public/linked-account/integration/oauth-url/sandbox")
            await ada.consent(link.json()["auth_url"])
            connection = (await product.get("/v1/connections")).json()["connections"][0]
            before = (await product.get(f"/v1/connections/{connection['id']}/token")).json()
    async with Stack(config), httpx.AsyncClient(base_url=config.addresses.api, headers=headers, timeout=40) as product:
        path = f"/v1/connections/{connection['id']}"
        assert (await product.get(path)).json()["status"] == "active"
        refreshed = await product.post(f"{path}/refresh")
        assert refreshed.json()["verdict"] == "ok"
        assert (await product.get(f"{path}/token")).json()["generation"] > before["generation"]
