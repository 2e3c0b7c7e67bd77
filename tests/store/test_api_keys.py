"""What an API key stands for."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select, update

from everlink.contract import Environment
from store.api_keys import ApiKeys
from store.database import Database
from store.scope import Scope
from store.tables import API_KEYS
from tests.store.conftest import NOW


@pytest.fixture
def keys(database: Database) -> ApiKeys:
    return ApiKeys(database)


@pytest.mark.parametrize("environment", list(Environment))
async def test_key_stands_for_its_tenant(keys: ApiKeys, scope: Scope, environment: Environment) -> None:
    place = Scope(scope.org_id, environment)
    key = await keys.add(place, "k", NOW)
    assert key.startswith({"test": "tk_", "production": "pk_"}[environment])
    assert (await keys.authenticate(key, NOW)).scope == place


async def test_anything_but_the_key_stands_for_nobody(keys: ApiKeys, scope: Scope) -> None:
    key = await keys.add(scope, "k", NOW)
    public = key.split("_")[1]
    for wrong in (
        "",
        "_",
        "tk",
        "tk__",
        f"tk_{public}",
        f"tk_{public}_",
        key[:-1],
        key + "x",
        "p" + key[1:],
        "tk" + key,
        key.upper(),
        "\x00",
        f"tk_{public}\x00_x",
        f"tk_\ud800_{public}",
        f"tk_{public}_\ud800",
        f"tk_{public}_é",
        "tk_%_%",
        "tk_' OR ''='_x",
        "tk_" * 10_000,
    ):
        assert await keys.authenticate(wrong, NOW) is None


async def test_revoked_or_expired_key_stands_for_nobody(keys: ApiKeys, database: Database, scope: Scope) -> None:
    revoked, expired = [await keys.add(scope, "k", NOW) for _ in range(2)]
    assert await keys.revoke(revoked.split("_")[1], NOW)
    assert not await keys.revoke(revoked.split("_")[1], NOW)
    async with database.writing() as write:
        mine = API_KEYS.c.id == expired.split("_")[1]
        await write.execute(update(API_KEYS).where(mine).values(expires_at=NOW + timedelta(hours=1)))
    assert await keys.authenticate(revoked, NOW) is None
    assert (await keys.authenticate(expired, NOW)).scope == scope
    assert await keys.authenticate(expired, NOW + timedelta(hours=1)) is None


async def test_database_holds_no_key_in_the_clear(keys: ApiKeys, database: Database, scope: Scope) -> None:
    secret = (await keys.add(scope, "k", NOW)).split("_", 2)[2]
    async with database.reading() as read:
        rows = (await read.execute(select(API_KEYS))).all()
    assert rows and secret not in repr(rows)
