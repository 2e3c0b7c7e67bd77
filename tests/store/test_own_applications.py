"""Applications that organizations bring: whose they are, and when they stay."""

from __future__ import annotations

from typing import Any

import pytest

from everlink.contract import Environment, RemovalKind
from store import own_applications
from store.database import Database
from store.own_applications import OwnApplications, StillInUse, TooMany
from store.removals import Removals
from store.scope import Scope
from store.tenants import RemovalUnderWay
from tests.store.conftest import NOW

OAUTH2: dict[str, Any] = {"auth_type": "oauth2", "oauth2": {}}
KEY: dict[str, Any] = {"auth_type": "keybased"}
TRADED: dict[str, Any] = {"auth_type": "keybased", "oauth2": {}}


@pytest.fixture
def own(database: Database) -> OwnApplications:
    return OwnApplications(database)


async def test_each_tenant_has_its_own(own: OwnApplications, scope: Scope, other: Scope) -> None:
    production = Scope(scope.org_id, Environment.PRODUCTION)
    await own.save(scope, "own-one", OAUTH2, NOW)
    await own.save(other, "own-one", KEY, NOW)
    assert await own.definition(scope, "own-one") == OAUTH2 and await own.definition(other, "own-one") == KEY
    assert await own.all(scope) == {"own-one": OAUTH2} and await own.all(production) == {}
    assert not await own.remove(production, "own-one") and await own.remove(other, "own-one")
    assert await own.definition(scope, "own-one") == OAUTH2


@pytest.mark.usefixtures("connection")
@pytest.mark.parametrize("slug", ["sandbox"])  # enabled and connected in the fixtures
async def test_what_is_used_stays_and_connects_as_it_did(own: OwnApplications, scope: Scope, slug: str) -> None:
    await own.save(scope, slug, OAUTH2, NOW)
    await own.save(scope, slug, {**OAUTH2, "name": "Changed"}, NOW)
    for way in (KEY, TRADED):
        with pytest.raises(StillInUse):
            await own.save(scope, slug, way, NOW)
    with pytest.raises(StillInUse):
        await own.remove(scope, slug)
    assert await own.definition(scope, slug) == {**OAUTH2, "name": "Changed"}


async def test_what_was_enabled_alone_stays(own: OwnApplications, scope: Scope) -> None:
    await own.save(scope, "sandbox", KEY, NOW)
    with pytest.raises(StillInUse):
        await own.remove(scope, "sandbox")


async def test_there_is_an_end_to_how_many(own: OwnApplications, scope: Scope, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_applications, "MOST", 2)
    for slug in ("own-one", "own-two", "own-one"):
        await own.save(scope, slug, KEY, NOW)
    with pytest.raises(TooMany):
        await own.save(scope, "own-three", KEY, NOW)


async def test_none_is_made_while_everything_is_erased(own: OwnApplications, database: Database, scope: Scope) -> None:
    assert await Removals(database).begin(scope, RemovalKind.ORGANIZATION, scope.org_id, NOW)
    with pytest.raises(RemovalUnderWay):
        await own.save(scope, "own-one", KEY, NOW)
