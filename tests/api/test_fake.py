"""`everlink.testing` is held to the real API: the same life of a connection, the same answers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Protocol

import httpx
import pytest

from everlink.testing import FakeConnection, FakeEverlink
from sandbox.customer import Customer
from tests.api.conftest import Everlink, until_status

# What an answer says of a connection's state; of everything else, only whether it is there and of which type.
SAID = {
    "accepted",
    "auth_type",
    "error_code",
    "generation",
    "health",
    "http_error_type",
    "message",
    "reason",
    "secret_fields",
    "status",
    "status_code",
    "token_type",
    "verdict",
}
ANYTHING = {"display_name", "ends_at"}  # as the provider told, or null

Answer = tuple[str, int, Any]


class World(Protocol):
    """Where a connection lives, and what befalls it."""

    http: httpx.AsyncClient
    connection_id: str

    async def revoke(self) -> None: ...
    async def reconnect(self) -> None: ...


class Real:
    def __init__(self, everlink: Everlink, http: httpx.AsyncClient, ada: Customer, connection_id: str) -> None:
        self.http = http
        self.connection_id = connection_id
        self._everlink, self._ada = everlink, ada

    async def revoke(self) -> None:
        await self._ada.revoke()

    async def reconnect(self) -> None:
        link = (await self.http.post(f"/v1/connections/{self.connection_id}/reconnect")).json()["connect_url"]
        await self._ada.consent(link)
        await until_status(self.http, self.connection_id, "active")


class Fake:
    def __init__(self, http: httpx.AsyncClient, connection: FakeConnection) -> None:
        self.http = http
        self.connection_id = connection.id
        self._connection = connection

    async def revoke(self) -> None:
        self._connection.revoke(noticed=False)

    async def reconnect(self) -> None:
        self._connection.reconnect()


class Asking:
    """Asks, and writes down what is answered."""

    def __init__(self, http: httpx.AsyncClient, connection_id: str) -> None:
        self.answers: list[Answer] = []
        self._http = http
        self._path = f"/v1/connections/{connection_id}"

    async def __call__(self, method: str, action: str = "", **sent: Any) -> Any:
        response = await self._http.request(method, self._path + action, **sent)
        self.answers.append((f"{method} {action} {sent}", response.status_code, _shape(response.json())))
        return response.json()

    async def everything(self) -> None:
        """Whatever reads, or finds that there is nothing to do."""
        await self("GET")
        await self("GET", "/token")
        await self("GET", "/wait", params={"timeout": 0})


def _shape(value: Any, name: str = "") -> Any:
    if name in SAID:
        return value
    if name in ANYTHING:
        return ...
    if name in ("headers", "fields", "query", "extra", "refusals") or not isinstance(value, dict):
        return type(value).__name__
    return {inner: _shape(one, inner) for inner, one in value.items()}


async def life(world: World) -> list[Answer]:
    """All that can be asked of a connection, in each of its states."""
    ask = Asking(world.http, world.connection_id)
    await ask.everything()
    await ask("POST", "/refresh")
    generation = (await ask("GET", "/token"))["generation"]
    # A refresh would join the verification, or renew what has been verified by then.
    await ask("POST", "/report", json={"generation": generation})
    await ask.everything()
    await world.revoke()
    await ask("POST", "/report", json={"generation": generation})
    await ask("GET", "/wait", params={"status": "reauth_required"})
    await ask.everything()
    await ask("POST", "/refresh")
    await ask("POST", "/report", json={"generation": None})
    await ask("POST", "/reconnect")
    await world.reconnect()
    await ask("GET", "/wait", params={"status": "active", "after": 1})
    await ask.everything()
    await ask("POST", "/report", json={"generation": generation})  # of a credential that is no more
    await ask("POST", "/refresh")
    await world.revoke()
    await ask("POST", "/refresh")
    await world.reconnect()
    await ask("POST", "/report", json={"event": "uninstalled"})
    await ask("GET", "/wait", params={"status": "reauth_required"})
    await ask.everything()
    await ask("DELETE")
    await ask.everything()
    for action in ("/refresh", "/report", "/reconnect"):
        await ask("POST", action, json={})
    await ask("DELETE")
    return ask.answers


async def of_nothing(http: httpx.AsyncClient) -> list[Answer]:
    ask = Asking(http, "con_unknown")
    await ask.everything()
    for action in ("/refresh", "/report", "/reconnect"):
        await ask("POST", action, json={})
    await ask("DELETE")
    return ask.answers


@asynccontextmanager
async def fake() -> AsyncIterator[tuple[FakeEverlink, httpx.AsyncClient]]:
    made = FakeEverlink()
    async with httpx.AsyncClient(base_url="http://everlink.test", transport=made.transport) as http:
        yield made, http


async def test_a_connections_life(everlink: Everlink, product: httpx.AsyncClient) -> None:
    connection_id = await everlink.connect(product)
    async with everlink.customer() as ada:
        real = await life(Real(everlink, product, ada, connection_id))
    async with fake() as (made, http):
        pretended = await life(Fake(http, made.connection("sandbox")))
    for there, here in zip(real, pretended, strict=True):
        assert here == there


async def test_what_is_not_there(product: httpx.AsyncClient) -> None:
    async with fake() as (_, http):
        assert await of_nothing(http) == await of_nothing(product)


@pytest.mark.parametrize("answer", ["status", "generation", "error_code", "reason", "verdict"])
def test_a_difference_would_be_seen(answer: str) -> None:
    assert _shape({answer: "a"}) != _shape({answer: "b"})
