"""Lists of connections: any filters, pages that hold together, counts, and cursors that are nobody else's."""

from __future__ import annotations

import base64
from itertools import product as combinations

import httpx
import pytest
from sqlalchemy import update

from everlink.contract import AuthType, Environment
from store.database import utc_now
from store.scope import Scope
from store.tables import CONNECTIONS
from tests.api.conftest import Everlink

KINDS = [
    ("active", "ok", None),
    ("active", "degraded", None),
    ("pending", "ok", None),
    ("reauth_required", "ok", "access_revoked"),
    ("reauth_required", "degraded", "app_uninstalled"),
    ("disconnected", "ok", None),
]


async def scope_of(everlink: Everlink, client: httpx.AsyncClient) -> Scope:
    key = await everlink.made.api_keys.authenticate(client.headers["x-api-key"], utc_now())
    assert key is not None
    return key.scope


async def fill(everlink: Everlink, client: httpx.AsyncClient) -> list[dict[str, object]]:
    """One connection of each kind, for two accounts and two applications, as the list shows them."""
    made, scope = everlink.made, await scope_of(everlink, client)
    await made.tenants.save_linked_account(scope, "globex", {}, utc_now())
    for (status, health, reason), account, slug in combinations(KINDS, ("acme", "globex"), ("sandbox", "sandbox-key")):
        row = await made.connections.find_or_create(
            scope,
            linked_account_id=account,
            slug=slug,
            identifier=f"{status} {health}",
            display_name=None,
            auth_type=AuthType.OAUTH2,
            now=utc_now(),
        )
        values = {"status": status, "health": health, "reason": reason}
        async with made.database.writing() as writing:
            await writing.execute(update(CONNECTIONS).where(CONNECTIONS.c.id == row.id).values(values))
    rows: list[dict[str, object]] = (await client.get("/v1/connections")).json()["connections"]
    assert len(rows) == 4 * len(KINDS)
    return rows


async def test_any_filters_together_narrow_the_list(everlink: Everlink, product: httpx.AsyncClient) -> None:
    rows = await fill(everlink, product)
    values = {
        "status": ["active", "reauth_required", None],
        "reason": ["access_revoked", None],
        "health": ["ok", "degraded", None],
        "application": ["sandbox", "none-such", None],
        "linked_account_id": ["globex", None],
    }
    for chosen in combinations(*values.values()):
        params = {name: value for name, value in zip(values, chosen, strict=True) if value is not None}
        wanted = {("slug" if name == "application" else name): value for name, value in params.items()}
        expected = [row["id"] for row in rows if all(row[name] == value for name, value in wanted.items())]
        seen, cursor = [], None
        while True:
            query = {**params, "limit": "3", **({"cursor": cursor} if cursor else {})}
            page = (await product.get("/v1/connections", params=query)).json()
            seen += [row["id"] for row in page["connections"]]
            if (cursor := page["next_cursor"]) is None:
                break
        assert seen == expected, params


async def test_counts_are_of_each_status_and_of_the_degraded(everlink: Everlink, product: httpx.AsyncClient) -> None:
    nothing = dict.fromkeys(("pending", "active", "reauth_required", "disconnected", "degraded"), 0)
    assert (await product.get("/v1/connections/counts")).json() == nothing
    await fill(everlink, product)
    for params, times in (
        ({}, 4),
        ({"application": "sandbox"}, 2),
        ({"linked_account_id": "acme"}, 2),
        ({"application": "sandbox", "linked_account_id": "globex"}, 1),
        ({"linked_account_id": "nobody"}, 0),
    ):
        counts = (await product.get("/v1/connections/counts", params=params)).json()
        once = {"pending": 1, "active": 2, "reauth_required": 2, "disconnected": 1, "degraded": 2}
        assert counts == {name: count * times for name, count in once.items()}, params


async def test_cursor_that_is_not_this_tenants_is_refused(everlink: Everlink, product: httpx.AsyncClient) -> None:
    await fill(everlink, product)
    scope = await scope_of(everlink, product)
    own = (await product.get("/v1/connections", params={"limit": 1})).json()["next_cursor"]
    strangers = [await everlink.product("Other")]
    strangers.append(await everlink.client(Scope(scope.org_id, Environment.PRODUCTION)))
    for stranger in strangers:
        assert (await stranger.get("/v1/connections", params={"cursor": own})).json()["error_code"] == "invalid_cursor"
    first = (await product.get("/v1/connections", params={"limit": 1})).json()["connections"][0]["id"]
    flipped = "A" if own[-1] != "A" else "B"
    unsigned = base64.urlsafe_b64encode(bytes(16) + first.encode()).decode().rstrip("=")
    for wrong in ("", "x", first, own[:-1], own[:-1] + flipped, own + "A", own + "=", unsigned, "\u00e9", "' OR 1=1"):
        answer = await product.get("/v1/connections", params={"cursor": wrong})
        assert (answer.status_code, answer.json()["error_code"]) == (422, "invalid_cursor"), wrong
    assert (await product.get("/v1/connections", params={"cursor": "%00" * 3})).status_code == 422
    page = (await product.get("/v1/connections", params={"cursor": own})).json()
    assert first not in [row["id"] for row in page["connections"]] and len(page["connections"]) == 4 * len(KINDS) - 1


@pytest.mark.parametrize(
    "params", [{"health": "well"}, {"reason": "none"}, {"limit": 201}, {"limit": 0}, {"linked_account_id": "x" * 256}]
)
async def test_filter_that_is_none_is_refused(product: httpx.AsyncClient, params: dict[str, str]) -> None:
    answer = await product.get("/v1/connections", params=params)
    assert (answer.status_code, answer.json()["error_code"]) == (422, "invalid_request")
