"""Activities without a worker, the client in the place of the real one, and the fixture."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from temporalio.testing import ActivityEnvironment

import everlink
from everlink.testing import FakeConnection, FakeEverlink
from tests.testing.conftest import Read
from tests.testing.users import PROVIDER

ROOT = Path(__file__).resolve().parents[2]
USERS_TEST = """
import pytest

import everlink

@pytest.mark.parametrize("time", [1, 2])
def test_it(fake_everlink, time):
    connections = [fake_everlink.connection("slack")]
    connections[0].revoke()
    assert connections == list(fake_everlink.connections)
    assert connections[0].status == "reauth_required"
"""


async def test_an_activity_without_a_worker(fake: FakeEverlink, connection: FakeConnection, read: Read) -> None:
    with fake.activity():
        assert await ActivityEnvironment().run(read, connection.id) == "read"
        connection.rotate()
        assert await ActivityEnvironment().run(read, connection.id) == "read"
        connection.revoke()
        with pytest.raises(everlink.ReauthRequired) as dead:
            await ActivityEnvironment().run(read, connection.id)
        assert dead.value.connection_id == connection.id and dead.value.reconnect_url
    with pytest.raises(RuntimeError):
        await ActivityEnvironment().run(read, connection.id)


async def test_a_key_based_application(fake: FakeEverlink) -> None:
    connection = fake.connection("own-crm", fields=["api_key"], headers={"X-Api-Key": "{api_key}"})
    credential = await fake.client.connections.token(connection.id)
    assert credential == connection.credential
    assert credential.access_token is None and credential.fields == {"api_key": credential.headers["X-Api-Key"]}
    request = httpx.Request("GET", PROVIDER, headers=credential.headers)
    assert connection.accepts(request)
    connection.rotate()
    assert not connection.accepts(request)


@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer wrong"}])
async def test_a_request_without_the_credential_is_not_accepted(
    connection: FakeConnection, headers: dict[str, str]
) -> None:
    assert not connection.accepts(httpx.Request("GET", PROVIDER, headers=headers))


async def test_a_refusal_of_what_works_is_verified_and_believed_by_nobody(
    fake: FakeEverlink, connection: FakeConnection
) -> None:
    """A provider that refuses one request for another reason than the credential."""
    with fake.activity():
        transport = httpx.MockTransport(lambda _: httpx.Response(401))
        async with everlink.http(connection.id, transport=transport) as http:
            assert (await http.get(PROVIDER)).status_code == 401
    assert len(connection.reports) == 1 and connection.credential.generation == 1


async def test_what_it_does_not_have_is_said(fake: FakeEverlink) -> None:
    with pytest.raises(NotImplementedError, match="GET /v1/api-keys"):
        await fake.client.api_keys.all()


def test_each_test_has_its_own(tmp_path: Path) -> None:
    """With the one line that a user writes, and whatever runs their `async def` tests."""
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["everlink.testing.fixtures"]')
    (tmp_path / "test_users.py").write_text(USERS_TEST)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=tmp_path, env=environment)
    assert "2 passed" in ran.stdout, ran.stdout
