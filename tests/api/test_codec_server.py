"""Sealed payloads are opened for operators only: not for a stranger, an organization, or another site's page."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from google.protobuf.json_format import MessageToDict
from pydantic import SecretStr
from temporalio.api.common.v1 import Payload, Payloads

from api.codec_server import SIGNED_IN_FOR, CodecServer
from store.codec import Codec, codec_keys
from store.database import utc_now
from store.settings import Settings
from store.vault import KeyInvalid, Keyring, new_master_key
from tests.api.conftest import Everlink, running, settings_for

KEY, TOKEN, WEB_UI = new_master_key(), "operators-token-of-these-tests", "https://temporal.example:8443"
SETTINGS = Settings(codec_key=SecretStr(KEY), codec_token=SecretStr(TOKEN))
PLAIN = Payload(metadata={"encoding": b"json/plain"}, data=b'"ada@acme.example"')
BEARER = {"authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
async def with_codec(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> AsyncIterator[Everlink]:
    folder = tmp_path_factory.mktemp("codec")
    shutil.copy(sqlite_template, folder / "everlink.sqlite3")
    database = f"sqlite+aiosqlite:///{folder}/everlink.sqlite3"
    settings = settings_for(database, folder, "http://127.0.0.1:9", "127.0.0.1:9").model_copy(
        update={
            "codec_key": SETTINGS.codec_key,
            "codec_token": SETTINGS.codec_token,
            "web_ui_url": f"{WEB_UI}/temporal",
            "address_rate_limit": "2000/5 second",
        }
    )
    async with running(settings, "", worker=False) as one:
        yield one


@pytest.fixture
async def client(with_codec: Everlink) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=with_codec.url) as one:
        yield one


async def sealed(key: str = KEY) -> dict[str, Any]:
    codec = Codec(Keyring("EVERLINK_CODEC_KEY", key))
    return MessageToDict(Payloads(payloads=[*await codec.encode([PLAIN]), PLAIN]))


async def sign_in(client: httpx.AsyncClient, token: str = TOKEN) -> httpx.Response:
    return await client.post("/codec", data={"token": token}, headers={"origin": str(client.base_url)})


async def test_operators_with_the_token_read_what_is_sealed(client: httpx.AsyncClient) -> None:
    answer = await client.post("/codec/decode?preserveStorageRefs=true", json=await sealed(), headers=BEARER)
    assert answer.json() == MessageToDict(Payloads(payloads=[PLAIN, PLAIN]))
    assert answer.headers["cache-control"] == "no-store"


async def test_what_operators_send_is_sealed(client: httpx.AsyncClient) -> None:
    given = MessageToDict(Payloads(payloads=[PLAIN]))
    answer = await client.post("/codec/encode", json=given, headers=BEARER)
    assert answer.json() != given and "acme" not in answer.text
    back = await client.post("/codec/decode", json=answer.json(), headers=BEARER)
    assert back.json() == given


async def test_web_ui_reads_with_the_cookie_of_who_has_signed_in(client: httpx.AsyncClient) -> None:
    entered = await sign_in(client)
    cookie = entered.headers["set-cookie"].lower()
    assert entered.status_code == 303 and "httponly" in cookie and "path=/codec" in cookie
    assert "samesite=strict" in cookie and TOKEN not in cookie
    assert f"{str(client.base_url).rstrip('/')}/codec" in (await client.get("/codec")).text
    answer = await client.post(
        "/codec/decode", json=await sealed(), headers={"origin": WEB_UI, "x-namespace": "default"}
    )
    assert answer.json()["payloads"][0] == MessageToDict(PLAIN)
    assert answer.headers["access-control-allow-origin"] == WEB_UI
    assert answer.headers["access-control-allow-credentials"] == "true"


async def test_preflight_is_for_the_web_ui_alone(client: httpx.AsyncClient) -> None:
    asked = {"access-control-request-method": "POST", "access-control-request-headers": "content-type,x-namespace"}
    ours = await client.options("/codec/decode", headers={**asked, "origin": WEB_UI})
    assert ours.status_code == 204 and ours.headers["access-control-allow-origin"] == WEB_UI
    assert {"content-type", "x-namespace"} <= set(ours.headers["access-control-allow-headers"].split(", "))
    others = await client.options("/codec/decode", headers={**asked, "origin": "https://elsewhere.example"})
    assert "access-control-allow-origin" not in others.headers


@pytest.mark.parametrize("origin", ["https://elsewhere.example", "null", "https://temporal.example"])
async def test_page_of_another_origin_reads_nothing(client: httpx.AsyncClient, origin: str) -> None:
    await sign_in(client)
    for more in ({}, BEARER):
        refused = await client.post("/codec/decode", json=await sealed(), headers={"origin": origin, **more})
        assert (refused.status_code, refused.json()["error_code"]) == (403, "not_the_web_ui")
        assert "access-control-allow-origin" not in refused.headers


@pytest.mark.parametrize(
    "shown",
    [
        {},
        {"origin": WEB_UI},
        {"origin": WEB_UI, "authorization": "Bearer eyJhbGciOiJub25lIn0.e30."},
        {"origin": WEB_UI, "cookie": "everlink_codec=99999999999.00"},
        {"origin": WEB_UI, "cookie": "everlink_codec=%ff"},
        {"origin": WEB_UI, "cookie": "everlink_codec=."},
    ],
)
async def test_who_has_not_signed_in_reads_nothing(client: httpx.AsyncClient, shown: dict[str, str]) -> None:
    for path in ("/codec/decode", "/codec/encode"):
        refused = await client.post(path, json=await sealed(), headers=shown)
        assert (refused.status_code, refused.json()["error_code"]) == (401, "codec_sign_in_needed")
        # The Web UI can read why.
        assert ("access-control-allow-origin" in refused.headers) is ("origin" in shown)


async def test_cookie_alone_is_not_enough(client: httpx.AsyncClient) -> None:
    """Only a browser says the origin, and a page of it cannot say another."""
    await sign_in(client)
    assert (await client.post("/codec/decode", json=await sealed())).status_code == 401


async def test_organizations_key_opens_nothing(with_codec: Everlink, client: httpx.AsyncClient) -> None:
    product = await with_codec.product()
    refused = await product.post("/codec/decode", json=await sealed())
    assert refused.status_code == 401
    key = product.headers["x-api-key"]
    assert (await sign_in(client, key)).status_code == 401


async def test_wrong_token_signs_nobody_in_and_another_sites_form_neither(client: httpx.AsyncClient) -> None:
    refused = await sign_in(client, "a-token-that-is-another")
    assert (
        refused.status_code == 401 and "set-cookie" not in refused.headers and "This is not the token" in refused.text
    )
    foreign = await client.post("/codec", data={"token": TOKEN}, headers={"origin": WEB_UI})
    assert foreign.status_code == 403 and "set-cookie" not in foreign.headers


async def test_guessing_is_slow(client: httpx.AsyncClient) -> None:
    answers = [
        await client.post("/codec/decode", json={}, headers={"authorization": f"Bearer guess-{number}"})
        for number in range(200)
    ]
    assert 429 in {answer.status_code for answer in answers}
    async with asyncio.timeout(10):
        while (await client.get("/codec")).status_code == 429:
            await asyncio.sleep(0.1)


async def test_signing_out_ends_it_in_this_browser(client: httpx.AsyncClient) -> None:
    await sign_in(client)
    assert "Sign out" in (await client.get("/codec")).text
    await client.post("/codec/sign-out", headers={"origin": str(client.base_url)})
    refused = await client.post("/codec/decode", json=await sealed(), headers={"origin": WEB_UI})
    assert refused.status_code == 401


def test_sign_in_ends_with_time_and_with_the_token() -> None:
    server, now = CodecServer.from_settings(SETTINGS), utc_now()
    other = CodecServer.from_settings(SETTINGS.model_copy(update={"codec_token": SecretStr(TOKEN + "2")}))
    assert server is not None and other is not None
    cookie = server.sign_in(now)
    assert server.is_signed_in(cookie, now + SIGNED_IN_FOR - timedelta(seconds=2))
    assert not server.is_signed_in(cookie, now + SIGNED_IN_FOR)
    assert not other.is_signed_in(cookie, now)
    ends, _, signature = cookie.partition(".")
    assert not server.is_signed_in(f"{int(ends) + 1}.{signature}", now)


async def test_key_that_is_missing_is_named(client: httpx.AsyncClient) -> None:
    refused = await client.post("/codec/decode", json=await sealed(new_master_key("lost")), headers=BEARER)
    assert (refused.status_code, refused.json()["error_code"]) == (422, "codec_key_invalid")
    assert "'lost'" in refused.json()["message"]


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b'{"payloads": 1}'])
async def test_what_is_no_payload_is_refused(client: httpx.AsyncClient, body: bytes) -> None:
    refused = await client.post("/codec/decode", content=body, headers=BEARER)
    assert (refused.status_code, refused.json()["error_code"]) == (422, "invalid_request")


async def test_there_is_none_where_the_codec_is_off(everlink: Everlink) -> None:
    async with httpx.AsyncClient(base_url=everlink.url) as anyone:
        for method, path in (
            ("GET", "/codec"),
            ("POST", "/codec"),
            ("POST", "/codec/decode"),
            ("OPTIONS", "/codec/decode"),
        ):
            assert (await anyone.request(method, path, headers=BEARER)).status_code == 404


@pytest.mark.parametrize("change", [{"codec_key": None}, {"codec_token": None}, {"codec_token": SecretStr("")}])
def test_there_is_none_without_both_key_and_token(change: dict[str, SecretStr | None]) -> None:
    assert CodecServer.from_settings(SETTINGS.model_copy(update=change)) is None


def test_token_that_can_be_guessed_and_key_that_is_none_stop_the_api() -> None:
    for change in ({"codec_token": SecretStr("short")}, {"codec_key": SecretStr("k1:AAAA")}):
        with pytest.raises(KeyInvalid) as caught:
            CodecServer.from_settings(SETTINGS.model_copy(update=change))
        assert "short" not in str(caught.value) and "AAAA" not in str(caught.value)
    assert codec_keys(SETTINGS) is not None


async def test_over_tls_the_cookie_goes_along_to_another_site(
    with_codec: Everlink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(with_codec.made.settings, "public_url", "https://everlink.example")
    async with httpx.AsyncClient(base_url=with_codec.url) as client:
        entered = await client.post("/codec", data={"token": TOKEN}, headers={"origin": "https://everlink.example"})
    cookie = entered.headers["set-cookie"].lower()
    assert "samesite=none" in cookie and "secure" in cookie
