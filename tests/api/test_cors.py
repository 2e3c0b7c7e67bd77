"""Pages of other origins: which routes they may call, and whose pages may use a token."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from store.database import StoreUnavailable
from tests.api.conftest import Everlink
from tests.api.test_sessions import REFRESH, TOKEN, bearer, refresh, session

APPS = "/api/v2/f-sdk/application"
PAGE = "https://app.acme.example"
BEARER_ROUTES = [
    ("GET", APPS),
    ("GET", f"{APPS}/sandbox"),
    ("GET", "/api/v1/sandbox/integrate"),
    ("POST", "/api/v1/sandbox/integrate"),
    ("POST", "/api/v2/app/sandbox-key/save"),
    ("DELETE", "/api/v1/linked-acc/integration/sandbox"),
    ("GET", "/api/v3/org/basics"),
    ("GET", "/api/v2/public/session/active-linked-account"),
    ("POST", "/api/v2/public/session-token/revoke"),
    ("POST", "/api/v2/public/connect-url"),
    ("POST", "/v1/connect-attempts"),
    ("GET", "/v1/connect-attempts/some"),
    ("POST", REFRESH),
]
KEY_ROUTES = [
    ("POST", TOKEN),
    ("GET", "/api/v2/public/application"),
    ("GET", "/v1/connections"),
    ("PUT", "/v1/settings"),
    ("GET", "/readyz"),
]


@pytest.fixture
async def browser(everlink: Everlink, product: httpx.AsyncClient) -> AsyncIterator[httpx.AsyncClient]:
    """A page of another origin that holds a session token."""
    token = (await session(product))["token"]
    headers = {**bearer(token), "origin": PAGE}
    async with httpx.AsyncClient(base_url=everlink.url, headers=headers, timeout=40) as client:
        yield client


def cors(answer: httpx.Response) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name.startswith("access-control-")}


async def preflight(everlink: Everlink, method: str, path: str, origin: str = PAGE) -> httpx.Response:
    headers = {
        "origin": origin,
        "access-control-request-method": method,
        "access-control-request-headers": "authorization,content-type",
    }
    async with httpx.AsyncClient(base_url=everlink.url) as browser:
        return await browser.options(path, headers=headers)


@pytest.mark.parametrize(("method", "path"), BEARER_ROUTES)
async def test_preflight_of_a_browsers_route_allows_the_token_and_no_cookies(
    everlink: Everlink, method: str, path: str
) -> None:
    answer = await preflight(everlink, method, path)
    assert answer.status_code == 204
    assert answer.headers["access-control-allow-origin"] == PAGE and "origin" in answer.headers["vary"]
    assert answer.headers["access-control-allow-methods"] == method
    assert "authorization" in answer.headers["access-control-allow-headers"]
    assert "x-api-key" not in answer.headers["access-control-allow-headers"]
    assert "access-control-allow-credentials" not in answer.headers
    assert cors(await preflight(everlink, method, path, "null")) == {}


@pytest.mark.parametrize(("method", "path"), KEY_ROUTES)
async def test_routes_of_the_products_server_answer_no_page(
    everlink: Everlink, product: httpx.AsyncClient, method: str, path: str
) -> None:
    assert cors(await preflight(everlink, method, path)) == {}
    body = None if method == "GET" else {}
    assert cors(await product.request(method, path, json=body, headers={"origin": PAGE})) == {}


async def test_key_on_a_browsers_route_answers_no_page(product: httpx.AsyncClient) -> None:
    assert cors(await product.get(APPS, headers={"origin": PAGE})) == {}


async def test_page_reads_answers_and_errors_alike(
    everlink: Everlink, browser: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise StoreUnavailable

    async def defect(*_: object) -> None:
        raise LookupError

    answers = [
        await browser.get(APPS),
        await browser.get(f"{APPS}/nothing"),
        await browser.get(APPS, headers={"authorization": "Bearer st_wrong"}),
        await browser.get(APPS, headers={"authorization": ""}),
        await browser.post("/api/v2/app/sandbox-key/save", json=[]),
        await browser.post("/api/v1/sandbox/integrate"),
        await browser.post("/api/v2/public/connect-url", json={"a": "x" * 17_000}),
        await browser.post("/api/v2/public/connect-url", content=b" " * 1_100_000),
        await browser.get(APPS, headers={"x-long": "x" * 33_000}),
    ]
    monkeypatch.setattr(everlink.made.tenants, "applications", broken)
    answers.append(await browser.get(APPS))
    monkeypatch.setattr(everlink.made.tenants, "applications", defect)
    answers.append(await browser.get(APPS))
    assert [answer.status_code for answer in answers] == [200, 404, 401, 401, 422, 400, 413, 413, 431, 503, 500]
    for answer in answers:
        assert answer.headers.get_list("access-control-allow-origin") == [PAGE], answer.status_code
        assert "retry-after" in answer.headers["access-control-expose-headers"]
        assert "access-control-allow-credentials" not in answer.headers
        assert "origin" in answer.headers["vary"]


async def test_null_origin_is_never_allowed(product: httpx.AsyncClient, browser: httpx.AsyncClient) -> None:
    for named in ([], [PAGE]):
        assert (await product.put("/v1/settings", json={"allowed_origins": named})).status_code == 200
        answer = await browser.get(APPS, headers={"origin": "null"})
        assert (answer.status_code, answer.json()["error_code"]) == (403, "origin_not_allowed")
        assert cors(answer) == {}


async def test_once_origins_are_named_no_other_pages_may_use_the_token(
    everlink: Everlink, product: httpx.AsyncClient, browser: httpx.AsyncClient
) -> None:
    other = {"origin": "https://evil.example"}
    assert (await browser.get(APPS, headers=other)).status_code == 200
    origins = [PAGE, "http://localhost:3000", PAGE]
    saved = await product.put("/v1/settings", json={"allowed_origins": origins})
    assert saved.json() == (await product.get("/v1/settings")).json()
    assert saved.json()["allowed_origins"] == origins[:2]
    refused = await browser.get(APPS, headers=other)
    assert (refused.status_code, refused.json()["error_code"]) == (403, "origin_not_allowed")
    assert cors(refused) == {}
    for near in ("http://app.acme.example", f"{PAGE}:8443", f"{PAGE}.evil.example", "https://acme.example"):
        assert (await browser.get(APPS, headers={"origin": near})).status_code == 403, near
    assert (await browser.get(APPS)).headers["access-control-allow-origin"] == PAGE
    del browser.headers["origin"]
    assert (await browser.get(APPS)).status_code == 200  # no page: a server or a program that holds the token
    stranger = await everlink.product("Other")
    hers = (await session(stranger))["token"]
    assert (await browser.get(APPS, headers={**bearer(hers), **other})).status_code == 200


async def test_page_that_may_not_use_the_token_may_not_renew_it_either(
    everlink: Everlink, product: httpx.AsyncClient
) -> None:
    await product.put("/v1/settings", json={"allowed_origins": [PAGE]})
    pair = await session(product)
    body = {"refresh_token": pair["refresh_token"]}
    async with httpx.AsyncClient(base_url=everlink.url) as page:
        for origin in ("https://evil.example", "null"):
            refused = await page.post(REFRESH, json=body, headers={"origin": origin})
            assert refused.status_code == 403 and cors(refused) == {}
        good = await page.post(REFRESH, json=body, headers={"origin": PAGE})
        assert good.status_code == 200 and good.headers["access-control-allow-origin"] == PAGE
    assert (await refresh(everlink, pair["refresh_token"])).status_code == 401


@pytest.mark.parametrize(
    "origin",
    [
        "*",
        "null",
        "app.acme.example",
        "http://app.acme.example",
        "https://app.acme.example/",
        "https://app.acme.example/path",
        "https://app.acme.example?x",
        "https://user@app.acme.example",
        "https://APP.acme.example",
        "https://app.acme.example:443",
        "http://localhost:80",
        "https://app.acme.example:0",
        "https://*.acme.example",
        "https://acme.example\n",
        "https://schlüssel.example",
        "http://localhost.evil.example",
        "ftp://app.acme.example",
        "javascript:alert(1)",
        "https://" + "a" * 300,
        "",
        5,
        None,
    ],
)
async def test_origin_that_no_browser_sends_is_a_422(product: httpx.AsyncClient, origin: object) -> None:
    answer = await product.put("/v1/settings", json={"allowed_origins": [origin]})
    assert (answer.status_code, answer.json()["error_code"]) == (422, "invalid_request")
    assert (await product.get("/v1/settings")).json()["allowed_origins"] == []


@pytest.mark.parametrize(
    "origin", ["https://a.example:8443", "http://127.0.0.1:3000", "http://[::1]", "https://xn--a.example"]
)
async def test_origin_that_browsers_send(product: httpx.AsyncClient, origin: str) -> None:
    assert (await product.put("/v1/settings", json={"allowed_origins": [origin]})).status_code == 200


async def test_origins_have_a_limit_and_are_the_tenants_own(everlink: Everlink, product: httpx.AsyncClient) -> None:
    many = [f"https://{number}.example" for number in range(51)]
    assert (await product.put("/v1/settings", json={"allowed_origins": many})).status_code == 422
    assert (await product.put("/v1/settings", json={"allowed_origins": many[:50]})).status_code == 200
    stranger = await everlink.product("Other")
    assert (await stranger.get("/v1/settings")).json()["allowed_origins"] == []
