"""What an API is sent by accident or on purpose, and where each is tried.

another tenant's id, the other environment's id          test_tenancy.py, on every route
revoked, expired, truncated key; wrong scope             test_tenancy.py, on every route
session token on an admin route                          test_tenancy.py, on every route
mass-assigned org_id                                     here, with every body
`false` where an int belongs                             here, in every body and query
forged cursor                                            test_lists.py, and here
same idempotency key with another body                   test_idempotency.py
concurrent identical requests                            test_idempotency.py, over two processes and both databases
reused connect session, framing by an unlisted origin    test_hosted.py
CORS null origin                                         test_cors.py
values that no database holds, bodies without end        stores/test_hostile_values.py, test_limits.py
whatever a schema allows or forbids                      test_schemathesis.py
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select
from sqlmodel import SQLModel

from api.app import create_app
from dev.api_reference import resolved
from everlink.contract import Environment
from store.database import utc_now
from store.scope import Scope
from tests.api.conftest import Everlink
from tests.api.every_route import Route, every_route
from tests.api.test_tenancy import World, passport, settle

DESCRIPTION = create_app().openapi()
ROUTES = [route for route in every_route() if route.guard is not None]
STAND_INS: dict[str, Any] = {"false": False, "text": "7", "list": [1]}


def test_every_file_that_is_named_is_there() -> None:
    assert __doc__ is not None
    for name in re.findall(r"\S*test_\w+\.py", __doc__):
        assert (Path(__file__).parent / name).exists(), name


async def rows_of(everlink: Everlink, world: World) -> dict[str, list[Any]]:
    """All that a tenant has."""
    found = {}
    async with everlink.made.database.reading() as reading:
        for table in SQLModel.metadata.sorted_tables:
            if "environment" in table.c:
                query = select(table).where(world.scope.owns(table)).order_by(*table.primary_key.columns)
                found[table.name] = list((await reading.execute(query)).all())
    return found


@pytest.mark.parametrize("route", [one for one in ROUTES if isinstance(one.body, dict)], ids=str)
async def test_nobody_assigns_what_is_not_theirs(everlink: Everlink, route: Route) -> None:
    made = everlink.made
    orgs = [await made.tenants.add_organization(name, utc_now()) for name in ("Victim", "Mine")]
    victim = await settle(everlink, Scope(orgs[0], Environment.TEST), "sandbox")
    mine = await settle(everlink, Scope(orgs[1], Environment.TEST), "sandbox")
    before = await rows_of(everlink, victim)
    foreign = {"org_id": orgs[0], "associated_org": orgs[0], "environment": "production", "scope": "admin"}
    body = {name: mine.ids.get(name, value) for name, value in route.body.items()}
    headers = {**passport(mine, route), **({"linked_account_id": "acme"} if route.names_account else {})}
    async with httpx.AsyncClient(base_url=everlink.url, headers=headers, timeout=40) as client:
        for extra in (foreign, {**foreign, "id": victim.ids["connection_id"], "_id": victim.ids["account_id"]}):
            answer = await client.request(route.method, route.address(mine.ids), json={**extra, **body})
            assert answer.status_code < 500 or answer.status_code == 503
            assert orgs[0] not in answer.text and '"production"' not in answer.text
    assert await rows_of(everlink, victim) == before
    assert not any((await rows_of(everlink, World(Scope(orgs[1], Environment.PRODUCTION), "", "", {}))).values())


def numbers(schema: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    """Where in a body a number belongs."""
    schema = resolved({key: part for key, part in schema.items() if key != "examples"}, DESCRIPTION)
    if schema.get("type") in ("integer", "number"):
        yield ()
    for name, part in schema.get("properties", {}).items():
        for rest in numbers(part):
            yield (name, *rest)


def in_bodies() -> Iterator[Any]:
    for route in ROUTES:
        path = re.sub(r":\w+\}", "}", route.path)
        content = DESCRIPTION["paths"][path][route.method.lower()].get("requestBody", {}).get("content", {})
        for place in numbers(content.get("application/json", {}).get("schema", {})):
            for name in STAND_INS:
                yield pytest.param(route, place, name, id=f"{route} {'.'.join(place)} {name}")


def set_in(body: dict[str, Any], place: tuple[str, ...], value: Any) -> dict[str, Any]:
    name, *rest = place
    part = body.get(name)
    return {**body, name: set_in(part if isinstance(part, dict) else {}, tuple(rest), value) if rest else value}


@pytest.fixture(scope="module")
async def world(everlink: Everlink) -> World:
    org = await everlink.made.tenants.add_organization("Acme", utc_now())
    return await settle(everlink, Scope(org, Environment.TEST), "sandbox")


@pytest.mark.parametrize(("route", "place", "stand_in"), list(in_bodies()))
async def test_nothing_stands_in_for_a_number(
    everlink: Everlink, world: World, route: Route, place: tuple[str, ...], stand_in: str
) -> None:
    body = set_in(route.body if isinstance(route.body, dict) else {}, place, STAND_INS[stand_in])
    headers = {**passport(world, route), "linked_account_id": world.ids["linked_account_id"]}
    async with httpx.AsyncClient(base_url=everlink.url, headers=headers) as client:
        answer = await client.request(route.method, route.address(world.ids), json=body)
    assert (answer.status_code, answer.json()["error_code"]) == (422, "invalid_request")
    assert any(set(place) <= set(one["loc"]) for one in answer.json()["details"])


def in_queries() -> Iterator[Any]:
    for route in ROUTES:
        operation = DESCRIPTION["paths"][re.sub(r":\w+\}", "}", route.path)][route.method.lower()]
        for one in operation["parameters"]:
            if one["in"] == "query" and resolved(one["schema"], DESCRIPTION).get("type") in ("integer", "number"):
                yield pytest.param(route, one["name"], id=f"{route} {one['name']}")


@pytest.mark.parametrize(("route", "name"), list(in_queries()))
async def test_nothing_stands_in_for_a_number_of_a_query(
    everlink: Everlink, world: World, route: Route, name: str
) -> None:
    headers = {**passport(world, route), "linked_account_id": world.ids["linked_account_id"]}
    async with httpx.AsyncClient(base_url=everlink.url, headers=headers) as client:
        for wrong in ("false", "", "1e999", "NaN", "0x10", "-1"):
            answer = await client.request(route.method, route.address(world.ids), params={name: wrong})
            assert (answer.status_code, answer.json()["error_code"]) == (422, "invalid_request"), wrong
        huge = await client.request(route.method, route.address(world.ids), params={name: "9" * 400})
        assert huge.status_code in (200, 422)  # the seed applies its own limit in place of a larger one


async def test_cursor_of_another_tenant_opens_nothing(everlink: Everlink, product: httpx.AsyncClient) -> None:
    stranger = await everlink.product("Other")
    for client in (product, stranger):
        for number in range(3):
            await client.post("/v1/linked-accounts", json={"account_id": f"account-{number}"})
    accounts = "/v1/linked-accounts"
    theirs = (await stranger.get(accounts, params={"limit": 2})).json()["next_cursor"]
    await product.patch(f"{accounts}/account-2", json={"name": "mine"})
    heard = await product.get(accounts, params={"cursor": theirs})
    assert heard.status_code in (200, 422)
    assert all(one["name"] in (None, "mine", "Acme Inc.") for one in heard.json().get("linked_accounts", ()))
