"""What is wrong is said in one shape, and never with what was sent."""

from __future__ import annotations

import httpx
import pytest

from store.api_keys import ApiKeys
from store.database import utc_now
from tests.api.conftest import Everlink

SHAPE = {"status_code", "http_error_type", "error_code", "message", "request_id"}
ENDPOINTS = "/v1/webhook-endpoints"


async def test_key_that_is_not_live_is_a_401(everlink: Everlink, product: httpx.AsyncClient) -> None:
    key = product.headers["x-api-key"]
    await ApiKeys(everlink.made.database).revoke(key.split("_")[1], utc_now())
    for wrong in (key, key[:-1], "tk_000_x", "", "x" * 5000):
        answer = await product.get("/v1/connections", headers={"x-api-key": wrong})
        assert answer.status_code == 401 and set(answer.json()) == SHAPE
        assert answer.json()["error_code"] == "invalid_api_key"
    del product.headers["x-api-key"]
    missing = await product.get("/v1/connections")
    assert missing.status_code == 401 and missing.headers["x-request-id"] == missing.json()["request_id"]


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("/v1/connections/con_none/report", {"event": "gone"}, "Input should be 'revoked' or 'uninstalled'"),
        (
            ENDPOINTS,
            {"url": "https://product.example/", "events": ["Webhook Test"]},
            "reminders come with Connection Expired, and webhooks' own events unasked: subscribe to neither",
        ),
    ],
)
async def test_what_is_wrong_is_said_in_words_of_the_api(
    product: httpx.AsyncClient, path: str, body: dict[str, object], words: str
) -> None:
    answer = await product.post(path, json=body)
    assert answer.status_code == 422 and [one["msg"] for one in answer.json()["details"]] == [words]


async def test_unknown_route_and_method_have_the_same_shape(product: httpx.AsyncClient) -> None:
    for answer, status in ((await product.get("/nothing"), 404), (await product.patch("/v1/connections"), 405)):
        assert answer.status_code == status and set(answer.json()) == SHAPE


@pytest.mark.parametrize(
    "body",
    [
        b'{"account_id": "planted-secret"',
        b'{"account_id": false}',
        b'{"account_id": ["planted-secret"]}',
        b'{"account_id": "a", "udf": "planted-secret"}',
        b"planted-secret",
        b'{"account_id": "' + b"planted-secret" * 100 + b'"}',
    ],
)
async def test_malformed_body_is_a_422_that_does_not_echo_it(product: httpx.AsyncClient, body: bytes) -> None:
    answer = await product.post(
        "/api/v2/public/linked-account", content=body, headers={"content-type": "application/json"}
    )
    assert (answer.status_code, answer.json()["error_code"]) == (422, "invalid_request")
    assert "planted" not in answer.text


@pytest.mark.parametrize("kind", [None, "application/x-www-form-urlencoded", "text/plain"])
async def test_body_that_is_not_said_to_be_json_is_told_so(product: httpx.AsyncClient, kind: str | None) -> None:
    headers = {} if kind is None else {"content-type": kind}
    for method, path in (("POST", "/api/v2/public/linked-account"), ("PUT", "/v1/applications/sandbox")):
        answer = await product.request(method, path, content=b'{"account_id": "acme"}', headers=headers)
        assert (answer.status_code, answer.json()["error_code"]) == (422, "invalid_request")
        assert answer.json()["message"] == "the body has to be JSON, with content-type: application/json"


async def test_body_of_which_nothing_is_required_may_be_left_out(
    everlink: Everlink, product: httpx.AsyncClient
) -> None:
    connection = await everlink.connect(product)
    assert (await product.post(f"/v1/connections/{connection}/report")).status_code == 202
    key_id = product.headers["x-api-key"].split("_")[1]
    assert (await product.post(f"/v1/api-keys/{key_id}/rotate")).status_code == 201
    assert (await product.put("/v1/applications/sandbox-key")).status_code == 200


async def test_linked_account_in_a_header_may_be_utf_8_or_latin_1(product: httpx.AsyncClient) -> None:
    await product.post("/api/v2/public/linked-account", json={"account_id": "Müller"})
    for given in ("Müller".encode(), "Müller".encode("latin-1")):
        answer = await product.get("/api/v2/public/application", headers=[(b"linked_account_id", given)])
        assert answer.status_code == 200, answer.text


async def test_nobody_assigns_another_organization(product: httpx.AsyncClient) -> None:
    body = {"account_id": "mine", "org_id": "another", "associated_org": "another", "environment": "production"}
    saved = (await product.post("/api/v2/public/linked-account", json=body)).json()
    assert saved["associated_org"] != "another" and saved["environment"] == "test"


@pytest.mark.parametrize(
    "change",
    [
        {"url": "http://10.0.0.1/"},
        {"url": "http://169.254.169.254/latest/meta-data"},
        {"url": "http://[::ffff:127.0.0.1]/"},
        {"url": "http://localhost./"},
        {"url": "https://user:planted@127.0.0.1/"},
        {"url": "ftp://127.0.0.1/"},
        {"url": "https://does-not-exist.invalid/"},
        {"events": []},
        {"events": ["Connection Imagined"]},
        {"headers": {"x-a": "b\r\nx-c: d"}},
        {"headers": {"Webhook-Id": "mine"}},
        {"headers": {"host": "evil"}},
        {"headers": {"x a": "b"}},
    ],
    ids=str,
)
async def test_endpoint_that_must_not_be_is_a_422(product: httpx.AsyncClient, change: dict[str, object]) -> None:
    body = {"url": "http://127.0.0.1:9/", "events": ["Connection Expired"], **change}
    answer = await product.post(ENDPOINTS, json=body)
    assert answer.status_code == 422 and "planted" not in answer.text
    assert (await product.get(ENDPOINTS)).json() == []


async def test_endpoint_secret_is_shown_once(everlink: Everlink, product: httpx.AsyncClient) -> None:
    created = await product.post(ENDPOINTS, json={"url": "http://127.0.0.1:9/", "events": ["Connection Expired"]})
    secret, endpoint = created.json()["secret"], created.json()["id"]
    assert created.status_code == 201 and secret.startswith("whsec_")
    assert secret not in (await product.get(ENDPOINTS)).text
    stranger = await everlink.product("Other")
    assert (await stranger.delete(f"{ENDPOINTS}/{endpoint}")).status_code == 404
    assert (await product.delete(f"{ENDPOINTS}/{endpoint}")).status_code == 204
    assert (await product.get(ENDPOINTS)).json() == []


async def test_client_secret_is_never_shown(product: httpx.AsyncClient) -> None:
    await product.put("/v1/applications/sandbox", json={"client_secret": "planted-secret"})
    listed = await product.get("/v1/applications")
    assert "planted" not in listed.text
    assert next(item for item in listed.json() if item["slug"] == "sandbox")["has_client_secret"] is True


async def test_description_is_served_with_examples(product: httpx.AsyncClient) -> None:
    description = (await product.get("/openapi.json")).json()
    assert description["components"]["securitySchemes"]["ApiKey"]["name"] == "x-api-key"
    assert "examples" in str(description["components"]["schemas"]["ApplicationView"])
    assert "/v1/connections/{connection_id}/token" in description["paths"]
    assert (await product.get("/docs")).status_code == 200
