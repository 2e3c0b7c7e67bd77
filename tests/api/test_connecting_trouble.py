"""Temporal, the database or the provider away while a customer connects: a page, one more click, nothing lost."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from store.database import StoreUnavailable, utc_now
from tests.api.conftest import OAUTH_URL, SAVE_KEY, Everlink
from tests.api.visitor import Visitor

CLOSED = "127.0.0.1:9"


@pytest.fixture
async def away(everlink: Everlink, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[pytest.MonkeyPatch]:
    """The API finds nobody at Temporal's address, until this is undone."""
    nobody = await Client.connect(CLOSED, data_converter=pydantic_data_converter, lazy=True)
    with monkeypatch.context() as patch:
        patch.setattr(everlink.made, "temporal", nobody)
        yield patch


async def test_customer_who_connects_while_temporal_is_away_reads_a_page_and_may_try_again(
    everlink: Everlink, product: httpx.AsyncClient, away: pytest.MonkeyPatch
) -> None:
    link = (await product.get(OAUTH_URL)).json()["auth_url"]
    async with everlink.customer() as ada:
        page = await ada.consent(link)
        assert page.status_code == 503 and "try again in a minute" in page.text
        [pending] = (await product.get("/v1/connections")).json()["connections"]
        assert pending["status"] == "pending"
        listed = (await product.get("/api/v2/public/application/sandbox")).json()
        assert (listed["connected"], listed["connected_accounts"]) == (False, [])
        away.undo()
        assert (await ada.consent(link)).status_code == 200
    [only] = (await product.get("/v1/connections")).json()["connections"]
    assert (only["id"], only["status"], only["sequence"]) == (pending["id"], "active", 1)
    assert (await product.get(f"/v1/connections/{only['id']}/token")).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/token", 409, "connection_pending"),
        ("POST", "/refresh", 409, "connection_pending"),
        ("POST", "/report", 409, "connection_pending"),
        ("POST", "/reconnect", 400, "not_oauth2"),
    ],
)
async def test_connection_that_never_finished_says_so(
    everlink: Everlink,
    product: httpx.AsyncClient,
    away: pytest.MonkeyPatch,
    method: str,
    path: str,
    status: int,
    code: str,
) -> None:
    connection = await saved_while_away(everlink, product)
    away.undo()
    answer = await product.request(method, f"/v1/connections/{connection}{path}", json={})
    assert (answer.status_code, answer.json()["error_code"]) == (status, code)


async def test_key_of_a_connection_that_never_finished_can_be_removed(
    everlink: Everlink, product: httpx.AsyncClient, away: pytest.MonkeyPatch
) -> None:
    connection = await saved_while_away(everlink, product)
    refused = await product.delete(f"/v1/connections/{connection}")
    assert (refused.status_code, refused.json()["error_code"]) == (503, "temporal_unavailable")
    away.undo()
    assert (await product.delete(f"/v1/connections/{connection}")).json()["status"] == "disconnected"
    await everlink.made.temporal.get_workflow_handle(f"connection/{connection}").result()
    read = await everlink.made.connections.with_credential(await scope_of(everlink, product), connection)
    assert read is not None and read.stored is None


async def saved_while_away(everlink: Everlink, product: httpx.AsyncClient) -> str:
    async with everlink.customer() as ada:
        _, key = await ada.create_key()
    answer = await product.put(SAVE_KEY, json={"api_key": key})
    assert (answer.status_code, answer.json()["error_code"]) == (503, "temporal_unavailable")
    assert key not in answer.text
    [pending] = (await product.get("/v1/connections")).json()["connections"]
    assert pending["status"] == "pending"
    return str(pending["id"])


async def scope_of(everlink: Everlink, product: httpx.AsyncClient) -> object:
    return (await everlink.made.api_keys.authenticate(product.headers["x-api-key"], utc_now())).scope


@pytest.mark.parametrize(
    ("part", "name"),
    [
        ("tickets", "arrive"),
        ("vault", "open"),
        ("connections", "find_or_create"),
        ("credentials", "grant"),
        ("tickets", "use"),
    ],
)
async def test_database_that_goes_away_while_a_customer_connects_costs_one_more_click(
    everlink: Everlink, product: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, part: str, name: str
) -> None:
    async def gone(*_: object, **__: object) -> None:
        raise StoreUnavailable("the database cannot be reached")

    link = (await product.get(OAUTH_URL)).json()["auth_url"]
    async with Visitor(everlink.sandbox, "ada", "ada-password") as ada:
        answer = await ada.consent_only(link)
        with monkeypatch.context() as patch:
            patch.setattr(getattr(everlink.made, part), name, gone)
            page = await ada.open(answer)
        assert page.status_code == 503 and "try again in a minute" in page.text
        assert (await ada.consent(link)).status_code == 200
    [only] = (await product.get("/v1/connections")).json()["connections"]
    assert only["status"] == "active"
    assert (await product.post(f"/v1/connections/{only['id']}/refresh")).json()["verdict"] == "ok"


@pytest.mark.parametrize(
    ("part", "address", "words"),
    [
        ("oauth2", {"token_url": "http://127.0.0.1:9/"}, "cannot be reached"),
        ("oauth2", {"token_url": "{sandbox}/accounts/login/"}, "did not accept"),
        ("oauth2", {"token_url": "{sandbox}/healthz"}, "did not accept"),
        ("probe", {"url": "http://127.0.0.1:9/"}, "did not say whose account"),
        ("probe", {"url": "{sandbox}/api/key/me"}, "did not say whose account"),
        ("probe", {"url": "{sandbox}/accounts/login/"}, "did not say whose account"),
    ],
)
async def test_provider_that_misbehaves_while_a_customer_connects_is_a_page_and_nothing_more(
    everlink: Everlink,
    product: httpx.AsyncClient,
    monkeypatch: pytest.MonkeyPatch,
    part: str,
    address: dict[str, str],
    words: str,
) -> None:
    link = (await product.get(OAUTH_URL)).json()["auth_url"]
    entry = everlink.made.catalog.get("sandbox")
    assert entry is not None
    changed = {name: text.replace("{sandbox}", everlink.sandbox) for name, text in address.items()}
    other = entry.model_copy(update={part: getattr(entry, part).model_copy(update=changed)})
    async with Visitor(everlink.sandbox, "ada", "ada-password") as ada:
        answer = await ada.consent_only(link)
        with monkeypatch.context() as patch:
            patch.setattr(everlink.made.catalog, "get", {"sandbox": other}.get)
            page = await ada.open(answer)
        assert page.status_code == 502 and words in page.text
        assert (await product.get("/v1/connections")).json()["connections"] == []
        assert (await ada.consent(link)).status_code == 200  # the link is still good
