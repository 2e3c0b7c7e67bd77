"""What a customer gave before consent stands in the addresses, parameters and headers that an entry says."""

from __future__ import annotations

import base64
import json
from urllib.parse import parse_qs, urlsplit

import pytest

from providers.credential import OAuthCredential
from providers.entry import OAuth2
from providers.oauth2 import (
    Client,
    authorize_url,
    check_fields,
    customers_client,
    exchange_code,
    introspect,
    is_renewable,
    refresh,
    revoke,
    trade_client,
)
from providers.templates import CannotFill
from tests.providers.test_oauth2 import OAUTH2, TOKENS, Recorded

SHOP = OAuth2(
    authorize_url="https://{shop}.p.example/authorize?kind={kind}",
    token_url="https://{shop}.p.example/token",
    refresh_url="https://{shop}.p.example/refresh",
    revoke_url="https://{shop}.p.example/revoke",
    introspect_url="https://{shop}.p.example/introspect",
    authorize_params={"login_hint": "{shop}"},
    token_params={"tenant": "{shop}"},
    token_headers={"X-Shop": "{shop}"},
    client_id_param="client_key",
    client_auth="post",
)
GIVEN = {"shop": "acme", "kind": "a&b"}
CLIENT = Client("me", "secret")
GRANTED = TOKENS.model_copy(update={"given": GIVEN})


def test_consent_is_asked_at_the_customers_address() -> None:
    url = authorize_url(
        SHOP, CLIENT, redirect_uri="https://e.example/", state="s", verifier="v", scopes=(), given=GIVEN
    )
    query = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
    assert urlsplit(url).netloc == "acme.p.example"
    assert (query["kind"], query["login_hint"], query["client_key"]) == ("a&b", "acme", "me")
    assert "client_id" not in query


async def test_each_request_goes_to_its_filled_address() -> None:
    async with Recorded() as http:
        await exchange_code(http, SHOP, CLIENT, code="c", redirect_uri="r", verifier="v", given=GIVEN)
        await refresh(http, SHOP, CLIENT, GRANTED)
        await revoke(http, SHOP, CLIENT, GRANTED)
        await introspect(http, SHOP, CLIENT, GRANTED)
        sent = [(str(one.url), parse_qs(one.content.decode()), one.headers.get("x-shop")) for one in http.requests]
    paths = [url.removeprefix("https://acme.p.example/") for url, _, _ in sent]
    assert paths == ["token", "refresh", "revoke", "introspect"]
    assert all(form["client_key"] == ["me"] and "client_id" not in form for _, form, _ in sent)
    assert [form.get("tenant") for _, form, _ in sent] == [["acme"], ["acme"], None, None]
    assert [shop for _, _, shop in sent] == ["acme", "acme", None, None]
    assert (sent[3][1]["token"], sent[3][1]["token_type_hint"]) == (["a"], ["access_token"])


@pytest.mark.parametrize("shop", ["", "evil.example/", "a@evil.example", "a b", "a..b", "a\n"], ids=ascii)
async def test_field_that_no_address_can_carry_is_named_and_nothing_is_sent(shop: str) -> None:
    given = {**GIVEN, "shop": shop}
    with pytest.raises(CannotFill) as caught:
        check_fields(SHOP, given)
    assert caught.value.name == "shop"
    async with Recorded() as http:
        with pytest.raises(CannotFill):
            await refresh(http, SHOP, CLIENT, TOKENS.model_copy(update={"given": given}))
        with pytest.raises(CannotFill):
            await refresh(http, SHOP, CLIENT, TOKENS)
        assert http.requests == []


def test_header_that_cannot_be_carried_is_named() -> None:
    oauth2 = OAUTH2.model_copy(update={"token_headers": {"X-Name": "{name}"}})
    with pytest.raises(CannotFill) as caught:
        check_fields(oauth2, {"name": "a\r\nb: c"})
    assert caught.value.name == "name"


async def test_json_body_and_basic_client_go_together() -> None:
    oauth2 = OAUTH2.model_copy(update={"token_body": "json", "token_headers": {"X-Version": "2022-06-28"}})
    async with Recorded() as http:
        await refresh(http, oauth2, CLIENT, TOKENS)
        [request] = http.requests
    assert base64.b64decode(request.headers["authorization"].split()[1]) == b"me:secret"
    assert (request.headers["content-type"], request.headers["x-version"]) == ("application/json", "2022-06-28")
    assert json.loads(request.content) == {"grant_type": "refresh_token", "refresh_token": "r"}


async def test_customers_own_client_asks_again_and_again() -> None:
    oauth2 = OAuth2(
        grant="client_credentials",
        token_url="https://{region}.p.example/token",
        token_params={"grant_type": "account_credentials", "account_id": "{account_id}"},
        scopes=("read", "write"),
    )
    given = {"client_id": "theirs", "client_secret": "s", "region": "eu", "account_id": "7"}
    credential = OAuthCredential(access_token="a", given=given)
    assert is_renewable(oauth2, credential) and not is_renewable(OAUTH2, credential)
    async with Recorded() as http:
        await trade_client(http, oauth2, customers_client(given), given)
        await refresh(http, oauth2, customers_client(given), credential)
        for request in http.requests:
            assert str(request.url) == "https://eu.p.example/token"
            assert base64.b64decode(request.headers["authorization"].split()[1]) == b"theirs:s"
            assert parse_qs(request.content.decode()) == {
                "grant_type": ["account_credentials"],
                "account_id": ["7"],
                "scope": ["read write"],
            }
    with pytest.raises(CannotFill):
        customers_client({"client_id": "theirs"})
