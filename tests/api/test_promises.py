"""What holds of every route: who may call it, how it is described, how it refuses."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from api.error_codes import ERROR_CODES
from dev.api_reference import EVERYWHERE, FILE, reference, resolved
from dev.config import ROOT
from everlink.contract import RemovalKind
from tests.api.conftest import Everlink
from tests.api.every_route import every_route

ERROR = {"status_code": int, "http_error_type": str, "error_code": str, "message": str, "request_id": str}


def is_error(answer: httpx.Response) -> bool:
    body = answer.json()
    return (
        answer.status_code >= 400
        and {name: type(body[name]) for name in ERROR} == ERROR
        and body["status_code"] == answer.status_code
        and body["request_id"] == answer.headers["x-request-id"]
    )


async def test_routes_without_a_tenant_answer(everlink: Everlink) -> None:
    async with httpx.AsyncClient(base_url=everlink.url) as stranger:
        assert (await stranger.get("/healthz")).json() == {"ok": True}
        assert (await stranger.get("/readyz")).json() == {"ok": True}
        style = await stranger.get("/connect/style.css")
        assert style.headers["content-type"].startswith("text/css")


@pytest.fixture(scope="module")
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


def test_every_guarded_route_is_described(description: dict[str, Any]) -> None:
    served = {re.sub(r":\w+\}", "}", str(route)) for route in every_route() if route.guard is not None}
    assert served <= {name for name, _ in operations(description)}


def test_every_operation_says_who_may_call_it_and_what_it_does(description: dict[str, Any]) -> None:
    schemes, tags = set(description["components"]["securitySchemes"]), {one["name"] for one in description["tags"]}
    for name, operation in operations(description):
        assert len(operation["tags"]) == 1 and set(operation["tags"]) <= tags, name
        assert operation["summary"] and operation["description"], name
        assert ("401" in operation["responses"]) or not operation.get("security"), name
        for way in operation.get("security", ()):
            assert set(way) <= schemes and (way.get("ApiKey") or "SessionToken" in way), name
    assert all(one["description"] for one in description["tags"])


def test_refusals_have_one_shape_and_say_when_they_come(description: dict[str, Any]) -> None:
    shape = set(description["components"]["schemas"]["ErrorBody"]["required"])
    for name, operation in operations(description):
        refusals = {status: one for status, one in operation["responses"].items() if status.startswith(("4", "5"))}
        assert {"422", "429", "431", "503"} <= set(refusals), name
        for status, response in refusals.items():
            schema = resolved(response["content"]["application/json"]["schema"], description)
            assert shape <= set(schema["required"]), (name, status)
            assert response["description"], (name, status)


def test_every_post_takes_an_idempotency_key(description: dict[str, Any]) -> None:
    posts = [operation for name, operation in operations(description) if name.startswith("POST ")]
    for operation in posts:
        [header] = [one for one in operation["parameters"] if one["name"] == "Idempotency-Key"]
        assert header["in"] == "header" and not header["required"]
        assert "409" in operation["responses"]
    assert len(posts) > 5


def test_what_holds_a_secret_has_no_tag_to_poll_with(description: dict[str, Any]) -> None:
    gets = [(name, one) for name, one in operations(description) if name.startswith("GET ")]
    untagged = {name for name, operation in gets if "304" not in operation["responses"]}
    assert untagged == {
        "GET /v1/connections/{connection_id}/token",
        "GET /api/v2/public/linked-account/integration/oauth-url/{slug}",
        "GET /api/v1/{slug}/integrate",
        "GET /v1/export",
        "GET /v1/events/{event_id}/deliveries/{endpoint_id}",
    }


@pytest.mark.parametrize(
    ("name", "refusals"),
    [
        ("GET /v1/connections", set()),
        ("GET /v1/applications", set()),
        ("POST /v1/connections/{connection_id}/reconnect", {"400", "404", "409"}),
        ("PUT /api/v2/public/linked-account/integration/save-key-credentials/{slug}", {"400", "404", "409", "502"}),
        ("PUT /api/v2/public/migrate-token", {"400", "404", "409", "502"}),
    ],
)
def test_a_route_names_the_refusals_of_its_own(description: dict[str, Any], name: str, refusals: set[str]) -> None:
    found = dict(operations(description))[name]["responses"]
    assert {status for status in found if status >= "400"} - EVERYWHERE == refusals


def test_every_error_code_is_listed_and_no_other() -> None:
    source = "\n".join(file.read_text() for file in (ROOT / "api").rglob("*.py"))
    raised = {(int(status), code) for status, code in re.findall(r'ApiError\(\s*(\d{3}), "(\w+)"', source)}
    raised |= {(503, code) for code in re.findall(r'unavailable\("(\w+)"', source)}
    raised |= {(404, f"{what}_not_found") for what in (*re.findall(r'not_found\("(\w+)"\)', source), *RemovalKind)}
    raised |= {(404, "not_found"), (405, "method_not_allowed")}  # the framework's
    assert raised == {(status, code) for status, codes in ERROR_CODES.items() for code in codes}


def test_every_body_has_an_example(description: dict[str, Any]) -> None:
    """That they are accepted is shown by the owner's turn in test_tenancy.py."""
    for name, operation in operations(description):
        if "requestBody" in operation:
            schema = operation["requestBody"]["content"]["application/json"]["schema"]
            assert "example" in str(schema) or "example" in str(resolved(schema, description)), name


def test_reference_page_is_current(description: dict[str, Any]) -> None:
    assert FILE.read_text() == reference(description), "make reference"


def test_reference_page_says_how_much_a_parameter_may_be(description: dict[str, Any]) -> None:
    for row in (
        "`limit` | query | 1 to 200; by",
        "`timeout` | query | Seconds; 0 to 60; by",
        "count as 200; at least 1; by",
    ):
        assert row in reference(description)


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
