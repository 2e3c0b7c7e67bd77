"""A long poll answers as soon as the connection is as wanted, costs one look however many wait, and ends in time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from time import monotonic
from typing import Any

import httpx
import pytest
from sqlalchemy import update

from api import waiting
from store.database import StoreUnavailable
from store.tables import CONNECTIONS
from tests.api.conftest import Everlink


async def change(everlink: Everlink, connection: str, **values: object) -> None:
    """As the worker writes a transition."""
    async with everlink.made.database.writing() as writing:
        await writing.execute(update(CONNECTIONS).where(CONNECTIONS.c.id == connection).values(values))


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.02)


def places(everlink: Everlink) -> int:
    return len(everlink.made.waiting._waiters)


def wait(client: httpx.AsyncClient, connection: str, **params: Any) -> asyncio.Task[httpx.Response]:
    return asyncio.create_task(client.get(f"/v1/connections/{connection}/wait", params=params))


@pytest.fixture
async def connection(everlink: Everlink, product: httpx.AsyncClient) -> str:
    """Active, with the sequence 1."""
    return await everlink.connect(product)


@pytest.mark.parametrize("params", [{"status": "active"}, {"after": 0}, {"status": "active", "after": 0}])
async def test_what_is_there_already_is_answered_at_once(
    everlink: Everlink, product: httpx.AsyncClient, connection: str, params: dict[str, str]
) -> None:
    answer = await wait(product, connection, timeout=60, **params)
    assert answer.json() == (await product.get(f"/v1/connections/{connection}")).json()


@pytest.mark.parametrize(
    ("params", "steps"),
    [
        ({"status": "reauth_required"}, [("degraded", 2), ("reauth_required", 3)]),
        ({"after": 1}, [("active", 2)]),
        ({}, [("active", 2)]),
        ({"status": "active", "after": 1}, [("reauth_required", 2), ("active", 3)]),
    ],
)
async def test_answers_as_soon_as_it_is_as_wanted(
    everlink: Everlink,
    product: httpx.AsyncClient,
    connection: str,
    params: dict[str, str],
    steps: list[tuple[str, int]],
) -> None:
    waits = wait(product, connection, timeout=60, **params)
    await until(lambda: places(everlink) == 1)
    for number, (status, sequence) in enumerate(steps):
        values = {"health": status} if status == "degraded" else {"status": status}
        if number:
            await asyncio.sleep(3 * waiting.EVERY_SECONDS)
            assert not waits.done()
        await change(everlink, connection, sequence=sequence, **values)
    async with asyncio.timeout(20):
        answer = await waits
    assert (answer.status_code, answer.json()["sequence"]) == (200, steps[-1][1])
    await until(lambda: places(everlink) == 0 and not everlink.made.waiting.is_watching)


async def test_at_the_end_of_its_time_it_is_answered_as_it_is(
    everlink: Everlink, product: httpx.AsyncClient, connection: str
) -> None:
    started = monotonic()
    answer = await wait(product, connection, status="disconnected", timeout=1.5)
    assert (answer.status_code, answer.json()["status"]) == (200, "active") and monotonic() - started >= 1.5


async def test_many_who_wait_cost_one_look_at_a_time(
    everlink: Everlink, product: httpx.AsyncClient, connection: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = await everlink.connect(product, "grace")
    looks: list[set[str]] = []
    standings = everlink.made.connections.standings

    async def counted(connection_ids: Collection[str]) -> Any:
        looks.append(set(connection_ids))
        return await standings(connection_ids)

    monkeypatch.setattr(everlink.made.waiting, "_look", counted)
    started = monotonic()
    waits = [wait(product, one, after=1, timeout=60) for one in (connection, other) for _ in range(20)]
    await until(lambda: places(everlink) == 40 and {connection, other} in looks)
    for one in (connection, other):
        await change(everlink, one, sequence=2)
    async with asyncio.timeout(20):
        answers = await asyncio.gather(*waits)
    assert {answer.json()["sequence"] for answer in answers} == {2}
    assert len(looks) <= 2 + (monotonic() - started) / waiting.EVERY_SECONDS


async def test_outage_of_the_store_is_waited_out(
    everlink: Everlink, product: httpx.AsyncClient, connection: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    standings, failed = everlink.made.connections.standings, asyncio.Event()

    async def away(_: Collection[str]) -> Any:
        failed.set()
        raise StoreUnavailable("planted")

    monkeypatch.setattr(everlink.made.waiting, "_look", away)
    waits = wait(product, connection, after=1, timeout=60)
    await failed.wait()
    await change(everlink, connection, sequence=2)
    monkeypatch.setattr(everlink.made.waiting, "_look", standings)
    async with asyncio.timeout(20):
        assert (await waits).json()["sequence"] == 2


async def test_places_are_bounded_and_a_client_that_leaves_frees_its_own(
    everlink: Everlink, product: httpx.AsyncClient, connection: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "MOST", 2)
    waits = [wait(product, connection, after=1, timeout=60) for _ in range(2)]
    await until(lambda: places(everlink) == 2)
    refused = await wait(product, connection, after=1, timeout=60)
    assert (refused.status_code, refused.json()["error_code"]) == (503, "too_many_waiting")
    assert int(refused.headers["retry-after"]) > 0
    for one in waits:
        one.cancel()
    await until(lambda: places(everlink) == 0)
    assert (await wait(product, connection, after=1, timeout=0)).status_code == 200
    await until(lambda: not everlink.made.waiting.is_watching)


@pytest.mark.parametrize("params", [{"timeout": 61}, {"timeout": "nan"}, {"after": -1}, {"status": "well"}])
async def test_wish_that_is_none_is_refused(
    product: httpx.AsyncClient, connection: str, params: dict[str, str]
) -> None:
    answer = await wait(product, connection, **params)
    assert (answer.status_code, answer.json()["error_code"]) == (422, "invalid_request")


async def test_connection_of_another_tenant_is_waited_for_by_nobody(everlink: Everlink, connection: str) -> None:
    stranger = await everlink.product("Other")
    answers = [await wait(stranger, one, timeout=60) for one in (connection, "con_" + "0" * 32)]
    assert {(answer.status_code, answer.json()["error_code"]) for answer in answers} == {(404, "connection_not_found")}
