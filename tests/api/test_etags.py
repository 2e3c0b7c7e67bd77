"""ETags: whoever polls is told in few bytes that nothing is new."""

from __future__ import annotations

import httpx
import pytest

from tests.api.conftest import Everlink

LINKED_ACCOUNT = "/api/v2/public/linked-account"


@pytest.mark.parametrize("path", ["/v1/applications", "/api/v2/public/application", "/v1/connections", "/openapi.json"])
async def test_what_is_known_already_is_not_sent_again(product: httpx.AsyncClient, path: str) -> None:
    first = await product.get(path)
    tag = first.headers["etag"]
    assert tag.startswith('W/"') and first.headers["cache-control"] == "private, no-cache"
    for known in (tag, tag.removeprefix("W/"), f'"other", {tag}', "*"):
        again = await product.get(path, headers={"if-none-match": known})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
        assert "content-type" not in again.headers and "x-request-id" in again.headers
    for other in ('"other"', "W/", tag.strip('W/"'), ""):
        assert (await product.get(path, headers={"if-none-match": other})).content == first.content


async def test_what_is_new_is_sent(product: httpx.AsyncClient) -> None:
    path = "/v1/applications"
    tag = (await product.get(path)).headers["etag"]
    await product.put("/v1/applications/sandbox", json={"scopes": ["read"]})
    changed = await product.get(path, headers={"if-none-match": tag})
    assert changed.status_code == 200 and changed.headers["etag"] != tag


async def test_tag_opens_nothing(everlink: Everlink, product: httpx.AsyncClient) -> None:
    tag = (await product.get("/v1/applications")).headers["etag"]
    for wrong, status in (({"x-api-key": "tk_0_0"}, 401), ({}, 304)):
        assert (await product.get("/v1/applications", headers={**wrong, "if-none-match": tag})).status_code == status
    missing = await product.get("/v1/connections/con_0", headers={"if-none-match": "*"})
    assert missing.status_code == 404 and "etag" not in missing.headers


async def test_timeline_is_new_when_something_happened(everlink: Everlink, product: httpx.AsyncClient) -> None:
    connection = await everlink.connect(product)
    path = f"/v1/connections/{connection}/events"
    first, second = await product.get(path), await product.get(path)
    assert first.json()["as_of"] != second.json()["as_of"] and first.headers["etag"] == second.headers["etag"]
    unchanged = await product.get(path, headers={"if-none-match": first.headers["etag"]})
    assert unchanged.status_code == 304
    await product.delete(f"/v1/connections/{connection}")
    changed = await product.get(path, headers={"if-none-match": first.headers["etag"]})
    assert changed.status_code == 200 and len(changed.json()["transitions"]) == 2


async def test_token_is_never_kept(everlink: Everlink, product: httpx.AsyncClient) -> None:
    connection = await everlink.connect(product)
    answer = await product.get(f"/v1/connections/{connection}/token", headers={"if-none-match": "*"})
    assert answer.status_code == 200 and answer.headers["cache-control"] == "no-store" and "etag" not in answer.headers
