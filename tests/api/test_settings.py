"""What an organization sets for one of its environments: what is left out stays."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.api.conftest import Everlink

ORIGIN = "https://app.acme.example"
DEFAULTS = {
    "allowed_origins": [],
    "reminder_days": [1.0, 3.0, 7.0],
    "return_urls": [],
    "brand_colour": None,
    "logo": None,
}


async def saved(product: httpx.AsyncClient, given: dict[str, Any]) -> dict[str, Any]:
    """What is answered, which is what is read then."""
    answer = await product.put("/v1/settings", json=given)
    assert answer.status_code == 200
    settings: dict[str, Any] = answer.json()
    assert (await product.get("/v1/settings")).json() == settings
    return settings


async def test_what_is_left_out_stays_as_it_is(everlink: Everlink, product: httpx.AsyncClient) -> None:
    assert await saved(product, {}) == DEFAULTS
    assert await saved(product, {"reminder_days": [2]}) == {**DEFAULTS, "reminder_days": [2.0]}
    changed = {**DEFAULTS, "allowed_origins": [ORIGIN], "reminder_days": [2.0]}
    assert await saved(product, {"allowed_origins": [ORIGIN]}) == changed
    assert await saved(product, {"reminder_days": []}) == {**changed, "reminder_days": []}
    assert await saved(product, {}) == {**changed, "reminder_days": []}
    stranger = await everlink.product("Other")
    assert (await stranger.get("/v1/settings")).json() == DEFAULTS


async def test_days_are_kept_in_their_order_and_once(product: httpx.AsyncClient) -> None:
    settings = await saved(product, {"reminder_days": [7, 0.5, 365, 7.0, 1e-9]})
    assert settings["reminder_days"] == [1e-9, 0.5, 7.0, 365.0]


@pytest.mark.parametrize(
    "days",
    [[0], [-1], [365.001], [1, None], ["1"], [True], [[1]], 7, "7", None, {"1": 1}, [float(n) for n in range(1, 12)]],
)
async def test_days_that_nobody_can_mean_are_a_422(product: httpx.AsyncClient, days: object) -> None:
    answer = await product.put("/v1/settings", json={"reminder_days": days})
    assert (answer.status_code, answer.json()["error_code"]) == (422, "invalid_request")
    assert (await product.get("/v1/settings")).json() == DEFAULTS


@pytest.mark.parametrize("days", ["[NaN]", "[Infinity]", "[1e999]", "[-0.0]"])
async def test_number_that_is_none_is_refused(product: httpx.AsyncClient, days: str) -> None:
    body = f'{{"reminder_days": {days}}}'
    answer = await product.put("/v1/settings", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 422
    assert (await product.get("/v1/settings")).json() == DEFAULTS
