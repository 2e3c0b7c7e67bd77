"""What holds of every route: who may call it, how it is described, how it refuses."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute

from api.routes import ROUTERS
from tests.api.conftest import Everlink

OPEN = {"/healthz", "/readyz", "/connect/style.css", "/connect/start/{secret}", "/api/v1/{slug}/callback"}
ERROR = {"status_code": int, "http_error_type": str, "error_code": str, "message": str, "request_id": str}


def routes() -> Iterator[tuple[str, str]]:
    """Every method and path of the application."""
    for router in ROUTERS:
        for route in router.routes:
            assert isinstance(route, APIRoute)
            for method in sorted(route.methods):
                yield method, route.path


def is_error(answer: httpx.Response) -> bool:
    body = answer.json()
    return (
        answer.status_code >= 400
        and {name: type(body[name]) for name in ERROR} == ERROR
        and body["status_code"] == answer.status_code
        and body["request_id"] == answer.headers["x-request-id"]
    )


async def test_every_route_but_the_browsers_asks_for_a_key(everlink: Everlink) -> None:
    asked = []
    async with httpx.AsyncClient(base_url=everlink.url) as stranger:
        for method, path in routes():
            if path not in OPEN:
                address = re.sub(r"\{[a-z_]+\}", "word", path)
                for headers in ({}, {"x-api-key": "tk_0_0"}, {"authorization": "Bearer tk_0_0"}):
                    answer = await stranger.request(method, address, headers={**headers, "linked_account_id": "acme"})
                    assert (answer.status_code, answer.json()["error_code"]) == (401, "invalid_api_key"), path
                    assert is_error(answer)
                asked.append(path)
    assert len(asked) > 15


async def test_open_routes_are_these_and_no_more(everlink: Everlink) -> None:
    assert {path for _, path in routes()} >= OPEN
    async with httpx.AsyncClient(base_url=everlink.url) as stranger:
        assert (await stranger.get("/healthz")).json() == {"ok": True}
        assert (await stranger.get("/readyz")).json() == {"ok": True}
        style = await stranger.get("/connect/style.css")
        assert style.headers["content-type"].startswith("text/css")


@pytest.fixture
async def description(everlink: Everlink) -> dict[str, Any]:
    async with httpx.AsyncClient(base_url=everlink.url) as anyone:
        answer: dict[str, Any] = (await anyone.get("/openapi.json")).json()
    return answer


def operations(description: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in description["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


async def test_description_names_its_parts_as_openapi_allows(description: dict[str, Any]) -> None:
    assert description["openapi"].startswith("3.")
    for group in description["components"].values():
        for name in group:
            assert re.fullmatch(r"[a-zA-Z0-9._-]+", name), name


async def test_every_described_operation_needs_the_key_and_says_what_it_does(description: dict[str, Any]) -> None:
    schemes = set(description["components"]["securitySchemes"])
    described = dict(operations(description))
    for name, operation in described.items():
        assert operation["security"], name
        assert all(set(one) <= schemes for one in operation["security"]), name
        assert operation["summary"] and operation["tags"], name
        assert operation.get("description"), name
    served = {f"{method} {path}" for method, path in routes() if path not in OPEN}
    assert set(described) == served


async def test_described_refusals_are_those_that_are_sent(description: dict[str, Any]) -> None:
    refusals, schemas = 0, description["components"]["schemas"]
    for name, operation in operations(description):
        for status, response in operation["responses"].items():
            if status.startswith(("4", "5")):
                refusals += 1
                named = response["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
                assert set(schemas["ErrorBody"]["required"]) <= set(schemas[named]["required"]), (name, status)
    assert refusals > 20


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/", 404, "not_found"),
        ("GET", "/v1", 404, "not_found"),
        ("POST", "/v1/connections", 405, "method_not_allowed"),
        ("TRACE", "/v1/connections", 405, "method_not_allowed"),
    ],
)
async def test_wrong_address_or_method_is_refused_in_the_one_shape(
    product: httpx.AsyncClient, method: str, path: str, status: int, code: str
) -> None:
    answer = await product.request(method, path)
    assert (answer.status_code, answer.json()["error_code"]) == (status, code)
    assert is_error(answer)


@pytest.mark.parametrize(
    "path", ["/connect/start/unknown", "/api/v1/sandbox/callback", "/api/v1/sandbox/callback?state=a&state=b"]
)
async def test_every_page_is_locked_down(everlink: Everlink, path: str) -> None:
    async with httpx.AsyncClient(base_url=everlink.url) as anyone:
        page = await anyone.get(path)
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy
    assert page.headers["cache-control"] == "no-store"
    assert page.headers["referrer-policy"] == "no-referrer"
    assert page.headers["x-content-type-options"] == "nosniff"
    assert "<script" not in page.text and "style=" not in page.text
    assert "set-cookie" not in page.headers


async def test_no_other_site_may_read_an_answer(product: httpx.AsyncClient) -> None:
    for origin in ("null", "https://evil.example"):
        asked = {"origin": origin, "access-control-request-method": "GET"}
        for answer in (
            await product.get("/v1/connections", headers=asked),
            await product.options("/v1/connections", headers=asked),
        ):
            assert not [name for name in answer.headers if name.startswith("access-control")]
            assert "set-cookie" not in answer.headers


async def test_browser_mark_is_out_of_reach_of_scripts_and_other_sites(
    everlink: Everlink, product: httpx.AsyncClient
) -> None:
    given = await product.get("/api/v2/public/linked-account/integration/oauth-url/sandbox")
    async with httpx.AsyncClient() as browser:
        mark = (await browser.get(given.json()["auth_url"])).headers["set-cookie"].lower()
    assert "httponly" in mark and "samesite=lax" in mark and "path=/" in mark and "domain" not in mark
