"""Values that no honest caller sends: a clear answer, the same on each database, and never a 500."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

ACCOUNT = "/api/v2/public/linked-account"
SAVE_KEY = "/api/v2/public/linked-account/integration/save-key-credentials/sandbox-key"
JSON = {"content-type": "application/json"}

BODIES = {
    "NUL in an id": rb'{"account_id": "planted\u0000"}',
    "NUL in a name": rb'{"account_id": "a", "name": "planted\u0000"}',
    "half a surrogate pair in an id": rb'{"account_id": "planted\ud800"}',
    "half a surrogate pair in a name": rb'{"account_id": "a", "name": "planted\ud800"}',
    "NUL in a field": rb'{"account_id": "a", "udf": {"a": "planted\u0000"}}',
    "half a surrogate pair in a field": rb'{"account_id": "a", "udf": {"a": "planted\ud800"}}',
    "half a surrogate pair in a field's name": rb'{"account_id": "a", "udf": {"planted\ud800": 1}}',
    "not a number in a field": b'{"account_id": "a", "udf": {"planted": NaN}}',
    "infinity in a field": b'{"account_id": "a", "udf": {"planted": 1e999}}',
    "number without end": b'{"account_id": "a", "udf": {"planted": ' + b"9" * 5000 + b"}}",
    "depth without end": b'{"account_id": "a", "udf": {"planted": ' + b"[" * 100000 + b"]" * 100000 + b"}}",
    "depth within reason of the parser": b'{"account_id": "a", "udf": {"planted": ' + b"[" * 900 + b"]" * 900 + b"}}",
    "not UTF-8": b'{"account_id": "planted\xff"}',
    "nothing": b"",
    "two bodies": b'{"account_id": "a"}{"account_id": "planted"}',
}


@pytest.mark.parametrize("name", BODIES)
async def test_hostile_body_is_refused_without_a_word_of_it(product: httpx.AsyncClient, name: str) -> None:
    answer = await product.post(ACCOUNT, content=BODIES[name], headers=JSON)
    assert answer.status_code in (400, 422) and "planted" not in answer.text
    assert answer.json()["error_code"] in ("invalid_request", "bad_request")


async def test_unusual_but_honest_text_comes_back_as_it_went_in(product: httpx.AsyncClient) -> None:
    body: dict[str, Any] = {
        "account_id": "Müller & Söhne 🔒/1",
        "name": "<b>'\"",
        "udf": {"ä": [{"deep": [1, 2.5, None, True, "\t"]}]},
    }
    saved = (await product.post(ACCOUNT, json=body)).json()
    assert (saved["account_id"], saved["name"]) == (body["account_id"], body["name"])
    assert saved["udf"] == [{"key": "ä", "value": body["udf"]["ä"]}]


async def test_hostile_id_in_a_path_is_like_any_that_does_not_exist(product: httpx.AsyncClient) -> None:
    paths = (
        ("GET", "/v1/connections/{}"),
        ("GET", "/v1/connections/{}/token"),
        ("DELETE", "/v1/connections/{}"),
        ("DELETE", "/v1/webhook-endpoints/{}"),
        ("PUT", "/v1/applications/{}"),
        ("GET", "/api/v2/public/application/{}"),
        ("GET", "/api/v2/public/linked-account/integration/oauth-url/{}"),
    )
    for value in ("%FF", "%ED%A0%80", "'%20OR%201=1--", "%F0%9F%94%92", "a" * 255):
        for method, path in paths:
            answer = await product.request(method, path.format(value), json={} if method == "PUT" else None)
            assert answer.status_code == 404, (method, path, value)
            assert answer.json()["error_code"].endswith("not_found")


async def test_address_with_a_nul_is_refused(product: httpx.AsyncClient) -> None:
    for path in (
        "/v1/connections/con_%00/token",
        "/api/v2/public/application/sandbox%00",
        "/v1/connections?linked_account_id=acme%00",
        "/connect/start/%00",
        "/api/v1/%00/callback?state=a",
    ):
        answer = await product.get(path)
        assert (answer.status_code, answer.json()["error_code"]) == (422, "invalid_request"), path


async def test_hostile_value_in_a_query_finds_nothing(product: httpx.AsyncClient) -> None:
    del product.headers["linked_account_id"]
    for value in ("%FF", "%ED%A0%80", "%F0%9F%94%92", "a" * 256):
        for path in (
            f"/v1/connections?linked_account_id={value}",
            f"/v1/connections?application={value}",
            f"/v1/connections?cursor={value}",
            f"/api/v2/public/application?linked_account_id={value}",
            f"/api/v2/public/application?linked_account_id=acme&slug={value}",
        ):
            answer = await product.get(path)
            found: Any = answer.json()
            empty = answer.status_code == 200 and (found == [] or found["connections"] == [])
            assert empty or answer.status_code in (404, 422), path


async def test_hostile_api_key_stands_for_nobody(product: httpx.AsyncClient) -> None:
    for key in (b"\xff\xfe", b"tk_\xc3\xa9_x", b"tk_" + b"a" * 20000, b"tk_'; DROP TABLE api_key; --_x"):
        answer = await product.get("/v1/connections", headers={"x-api-key": key})
        assert (answer.status_code, answer.json()["error_code"]) == (401, "invalid_api_key")


@pytest.mark.parametrize(
    "fields",
    [
        {"api_key": "planted\u0000"},
        {"api_key": "planted\ud800"},
        {"api_key": "planted\x1b[2J"},
        {"api_key": "planted\r\nx-evil: 1"},
        {"api_key": "planted" * 100000},
        {"api_key": "planted", "\ud800": "x"},
    ],
    ids=["NUL", "surrogate", "escape", "line break", "huge", "name"],
)
async def test_hostile_key_is_refused_and_not_stored(product: httpx.AsyncClient, fields: dict[str, str]) -> None:
    answer = await product.put(SAVE_KEY, content=json.dumps(fields), headers=JSON)
    assert answer.status_code == 422 and "planted" not in answer.text
    assert (await product.get("/v1/connections")).json()["connections"] == []


async def test_huge_body_is_refused(product: httpx.AsyncClient) -> None:
    huge = {"account_id": "a", "udf": {"a": "planted" * 1_000_000}}
    answer = await product.post(ACCOUNT, json=huge)
    assert answer.status_code == 413 and "planted" not in answer.text
