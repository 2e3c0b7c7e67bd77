"""A thousand readers of an expired token at once, at two API processes: the provider is asked once."""

from __future__ import annotations

import asyncio
import json
import socket
from pathlib import Path
from typing import Any

import pytest
from temporalio.testing import WorkflowEnvironment

from tests.api.conftest import age, running
from tests.faults.conftest import accepted, connect, proxied

READERS = 1000


@pytest.mark.long
async def test_thousand_readers_of_an_expired_token_cost_one_refresh(
    database_url: str, tmp_path: Path, own_temporal: WorkflowEnvironment
) -> None:
    async with proxied(database_url, tmp_path, own_temporal) as world:
        everlink = world.everlink
        product = await everlink.product()
        connection = await connect(product, everlink.sandbox)
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = int(free.getsockname()[1])
        second = everlink.made.settings.model_copy(update={"port": port, "public_url": f"http://127.0.0.1:{port}"})
        async with running(second, everlink.sandbox, worker=False):
            await age(everlink, connection, -1)
            path, key = f"/v1/connections/{connection}/token", product.headers["x-api-key"]
            ports = (everlink.made.settings.port, port)
            crowd = [read(port, path, key) for port in ports for _ in range(READERS // 2)]
            answers = await asyncio.gather(*crowd)
        assert {status for status, _ in answers} == {200}
        assert {body["generation"] for _, body in answers} == {2}
        [token] = {body["access_token"] for _, body in answers}
        assert await accepted(everlink.sandbox, token)
        assert world.proxy.refreshes == 1


async def read(port: int, path: str, key: str) -> tuple[int, dict[str, Any]]:
    """One reader on a connection of its own: plain, for a client library's pool is slow with a thousand."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nx-api-key: {key}\r\nconnection: close\r\n\r\n".encode())
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    return int(head.split()[1]), json.loads(body)
