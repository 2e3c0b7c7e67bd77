"""What a webhook endpoint is told to send: nothing that no delivery could carry."""

from __future__ import annotations

import httpx
import pytest

from providers.guard import TargetGuard
from tests.api.conftest import Everlink

ENDPOINTS = "/v1/webhook-endpoints"
EVENTS = ["Connection Expired"]


@pytest.mark.parametrize(
    "headers",
    [
        {"x-a": " leads"},
        {"x-a": "trails "},
        {"x-a": " "},
        {"x-a": "tab\there"},
        {"x-a": "nul\u0000"},
        {"x-a": "schlüssel"},
        {"x-a": 1},
        {"": "empty"},
        {"x:a": "b"},
        {"Content-Type": "text/plain"},
        {"content-encoding": "gzip"},
        {"Content-Length": "1"},
        {"Connection": "close"},
        {"Expect": "100-continue"},
        {"Upgrade": "h2c"},
        {"TE": "trailers"},
        {"Trailer": "x-a"},
        {"Transfer-Encoding": "chunked"},
        {"webhook-signature": "v1,mine"},
        {"x-a": "one", "X-A": "two"},
    ],
    ids=str,
)
async def test_header_that_would_spoil_every_delivery_is_a_422(
    product: httpx.AsyncClient, headers: dict[str, object]
) -> None:
    answer = await product.post(ENDPOINTS, json={"url": "http://127.0.0.1:9/", "events": EVENTS, "headers": headers})
    assert (answer.status_code, answer.json().get("error_code")) == (422, "invalid_request")
    assert (await product.get(ENDPOINTS)).json() == []


@pytest.mark.parametrize("value", ["Bearer abc.def", "", "a b", "!#$%&'*+-.^_`|~"])
async def test_header_that_a_delivery_can_carry_is_kept(product: httpx.AsyncClient, value: str) -> None:
    body = {"url": "http://127.0.0.1:9/", "events": EVENTS, "headers": {"Authorization": value, "X-My_Own": "b"}}
    created = await product.post(ENDPOINTS, json=body)
    assert created.status_code == 201
    assert "Bearer" not in created.text and "Bearer" not in (await product.get(ENDPOINTS)).text  # it may be a secret


@pytest.mark.parametrize("port", [0, 22, 25, 65536, -1])
async def test_port_that_no_delivery_may_reach_is_a_422(
    everlink: Everlink, product: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, port: int
) -> None:
    monkeypatch.setattr(everlink.made, "guard", TargetGuard())
    answer = await product.post(ENDPOINTS, json={"url": f"http://93.184.216.34:{port}/", "events": EVENTS})
    assert (answer.status_code, answer.json().get("error_code") in ("webhook_url_refused", "invalid_request")) == (
        422,
        True,
    )


async def test_endpoint_of_the_other_environment_is_not_there(everlink: Everlink, product: httpx.AsyncClient) -> None:
    created = (await product.post(ENDPOINTS, json={"url": "http://127.0.0.1:9/", "events": EVENTS})).json()
    stranger = await everlink.product("Other")
    answers = []
    for target in (created["id"], "we_" + "0" * 32):
        answer = await stranger.delete(f"{ENDPOINTS}/{target}")
        answers.append((answer.status_code, {**answer.json(), "request_id": ""}))
    assert answers[0] == answers[1] and answers[0][0] == 404
    assert [row["id"] for row in (await product.get(ENDPOINTS)).json()] == [created["id"]]
