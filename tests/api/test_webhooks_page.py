"""docs/webhooks.md: its commands, one after the other, and its way to catch up, against the API itself."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from dev.listener import Listener
from tests.api.conftest import Everlink
from tests.docs.webhooks_md import blocks, python

REAL = 'curl() { command curl --silent --show-error --fail-with-body "$@"; }\n'
THEIRS = "https://product.example/hooks/everlink"


@pytest.fixture
async def listener() -> AsyncIterator[Listener]:
    async with Listener() as one:
        yield one


async def expired(everlink: Everlink, product: httpx.AsyncClient) -> str:
    """A connection that has come to its `Connection Expired`."""
    connection = await everlink.connect(product)
    await product.post(f"/v1/connections/{connection}/report", json={"event": "revoked"})
    return connection


def commands() -> list[str]:
    return [command for block in blocks("bash") for command in re.split(r"\n(?=curl )", block.strip())]


async def shell(command: str, variables: dict[str, str]) -> Any:
    process = await asyncio.create_subprocess_exec(
        "bash", "-c", REAL + command, env=variables, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await process.communicate()
    assert process.returncode == 0, f"{command}\n{said.decode()}"
    return json.loads(said)


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
async def test_commands_do_what_the_page_says(
    everlink: Everlink, product: httpx.AsyncClient, listener: Listener
) -> None:
    key, path = product.headers["x-api-key"], "/usr/bin:/bin"
    variables = {"API": everlink.url, "KEY": key, "PATH": path}
    first, *others = commands()
    endpoint = await shell(first.replace(THEIRS, listener.url), variables)
    listener.trust(endpoint["secret"])
    await expired(everlink, product)
    event = await listener.wait_for("Connection Expired", "sandbox", "acme")
    variables |= {"ENDPOINT": endpoint["id"], "EVENT": event["event_id"]}
    for command in others:
        answer = await shell(command, variables)
        if command.startswith("curl -X POST") and "/replay" in command and "replayed" in answer:
            variables["REPLAY"] = answer["id"]
    await listener.wait_for("Webhook Test", "", None)
    async with asyncio.timeout(20):
        while listener.ids.count(event["event_id"]) < 2:  # the second by its replay
            await asyncio.sleep(0.05)
    assert listener.refused == 0
    patched = (await product.get(f"/v1/webhook-endpoints/{endpoint['id']}")).json()
    assert patched["legacy_signature"] == {"header": "x-cobalt-signature"} and patched["previous_secret_until"]


async def test_who_was_away_catches_up(everlink: Everlink, product: httpx.AsyncClient) -> None:
    [block] = blocks("python", "def catch_up")
    catch_up, kept = python(block)["catch_up"], list[dict[str, Any]]()

    async def again(cursor: str | None) -> str:
        headers = {"x-api-key": product.headers["x-api-key"]}
        with httpx.Client(base_url=everlink.url, headers=headers) as api:
            return str(await asyncio.to_thread(catch_up, api, cursor, kept.append))

    cursor = await again(None)
    assert kept == []
    connection = await expired(everlink, product)
    async with asyncio.timeout(20):
        while len(kept) < 2:
            cursor = await again(cursor)
    assert [(event["connection_id"], event["event"], event["previous_sequence"]) for event in kept] == [
        (connection, "Connection Created", None),
        (connection, "Connection Expired", 1),
    ]
    assert await again(cursor) and len(kept) == 2
