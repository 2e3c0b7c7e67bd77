"""Custom headers at rest: sealed when they are written, and sealed later where an older version wrote them."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select, update

from store.custom_headers import open_headers, seal_headers, seal_what_is_clear
from store.database import Database
from store.scope import Scope
from store.tables import WEBHOOK_ENDPOINTS, WebhookEndpoint
from store.vault import Kind, MasterKeys, SealBroken, Vault, new_master_key
from store.webhooks import Webhooks
from tests.store.conftest import NOW
from tests.store.processes import run_together

HEADERS = {"x-token": "planted ünï", "Authorization": "Bearer planted"}


@pytest.fixture
def vault(database: Database) -> Vault:
    return Vault(database, MasterKeys(new_master_key()))


def endpoint(scope: Scope, name: str, **more: Any) -> WebhookEndpoint:
    about = {"url": "https://product.example/", "events": [], "secret": b"sealed", "created_at": NOW}
    return WebhookEndpoint(id=name, org_id=scope.org_id, environment=scope.environment, **about, **more)


async def row_of(database: Database, name: str) -> Any:
    async with database.reading() as reading:
        return (await reading.execute(select(WEBHOOK_ENDPOINTS).where(WEBHOOK_ENDPOINTS.c.id == name))).one()


async def opened(database: Database, vault: Vault, scope: Scope, name: str) -> dict[str, str]:
    row = await row_of(database, name)
    return await open_headers(vault, scope, name, row.sealed_headers, row.headers)


def no_vault() -> Vault:
    raise AssertionError("nothing is to be sealed")


async def test_sealed_headers_show_their_names_and_open_for_their_endpoint_alone(vault: Vault, scope: Scope) -> None:
    values = await seal_headers(vault, scope, "we_1", HEADERS)
    assert values["header_names"] == ["Authorization", "x-token"] and values["headers"] == {}
    assert b"planted" not in values["sealed_headers"]
    assert await open_headers(vault, scope, "we_1", values["sealed_headers"], {}) == HEADERS
    with pytest.raises(SealBroken):
        await open_headers(vault, scope, "we_2", values["sealed_headers"], {})
    assert await seal_headers(vault, scope, "we_1", {}) == {"header_names": [], "sealed_headers": None, "headers": {}}


async def test_rows_that_hold_headers_in_clear_are_sealed_once(
    database: Database, vault: Vault, scope: Scope, other: Scope, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("store.custom_headers.AT_ONCE", 2)
    webhooks = Webhooks(database)
    for number in range(5):
        await webhooks.add(endpoint(scope, f"we_{number}", headers={**HEADERS, "x-number": str(number)}))
    await webhooks.add(endpoint(other, "we_other", headers=HEADERS))
    await webhooks.add(endpoint(scope, "we_none"))
    await webhooks.add(endpoint(scope, "we_sealed", **await seal_headers(vault, scope, "we_sealed", {"a": "b"})))
    before = {name: await row_of(database, name) for name in ("we_none", "we_sealed")}
    assert await seal_what_is_clear(database, lambda: vault) == 6
    for number in range(5):
        row = await row_of(database, f"we_{number}")
        assert (row.headers, row.header_names) == ({}, ["Authorization", "x-number", "x-token"])
        assert await opened(database, vault, scope, row.id) == {**HEADERS, "x-number": str(number)}
    assert await opened(database, vault, other, "we_other") == HEADERS
    assert {name: await row_of(database, name) for name in before} == before
    assert await seal_what_is_clear(database, no_vault) == 0


async def test_headers_that_an_older_version_writes_over_sealed_ones_count_and_are_sealed_in_turn(
    database: Database, vault: Vault, scope: Scope
) -> None:
    await Webhooks(database).add(endpoint(scope, "we_1", **await seal_headers(vault, scope, "we_1", HEADERS)))
    async with database.writing() as writing:
        await writing.execute(update(WEBHOOK_ENDPOINTS).values(headers={"x-newer": "1"}))
    assert await opened(database, vault, scope, "we_1") == {"x-newer": "1"}
    assert await seal_what_is_clear(database, lambda: vault) == 1
    assert await opened(database, vault, scope, "we_1") == {"x-newer": "1"}
    assert (await row_of(database, "we_1")).header_names == ["x-newer"]


async def test_headers_that_change_while_they_are_sealed_are_not_taken_back(
    database: Database, vault: Vault, scope: Scope, monkeypatch: pytest.MonkeyPatch
) -> None:
    await Webhooks(database).add(endpoint(scope, "we_1", headers=HEADERS))
    seal, calls = vault.seal, []

    async def seal_slowly(scope: Scope, kind: Kind, owner: str, secret: bytes) -> bytes:
        calls.append(owner)
        if len(calls) == 1:
            async with database.writing() as writing:
                await writing.execute(update(WEBHOOK_ENDPOINTS).values(headers={"x-newer": "1"}))
        return await seal(scope, kind, owner, secret)

    monkeypatch.setattr(vault, "seal", seal_slowly)
    assert await seal_what_is_clear(database, lambda: vault) == 1
    assert await opened(database, vault, scope, "we_1") == {"x-newer": "1"}
    assert len(calls) == 2


SEAL = """
from store.custom_headers import seal_what_is_clear
from store.database import Database
from store.vault import MasterKeys, Vault

async def main(url, key):
    database = Database(url)
    print(await seal_what_is_clear(database, lambda: Vault(database, MasterKeys(key))))
    await database.close()
"""


async def test_processes_that_seal_at_once_seal_each_row_once(
    database_url: str, database: Database, scope: Scope
) -> None:
    key = new_master_key()
    for number in range(20):
        await Webhooks(database).add(endpoint(scope, f"we_{number}", headers=HEADERS))
    counts = await run_together(SEAL, database_url, key, count=3)
    assert sum(int(count) for count in counts) == 20
    vault = Vault(database, MasterKeys(key))
    assert [await opened(database, vault, scope, f"we_{number}") for number in range(20)] == [HEADERS] * 20
