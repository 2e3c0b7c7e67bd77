"""The OAuth 2 client as a server sees it, the catalog's rules, and the signature of webhooks."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
import yaml
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from dev.config import ROOT
from everlink.contract import Verdict
from providers.catalog import Catalog, CatalogError, OAuth2
from providers.credential import KeyCredential, OAuthCredential
from providers.oauth2 import Client, authorize_url, exchange_code, new_verifier, refresh, revoke
from providers.probe import probe
from providers.signature import new_secret, sign

OAUTH2 = OAuth2(
    authorize_url="https://p.example/authorize?kind=x",
    token_url="https://p.example/token",
    revoke_url="https://p.example/revoke",
)
CLIENT = Client("my id", "s:c/r%t+ü")
TOKENS = OAuthCredential(access_token="a", refresh_token="r")


class Recorded(httpx.AsyncClient):
    """Answers 200 and keeps the requests."""

    def __init__(self) -> None:
        self.requests: list[httpx.Request] = []
        super().__init__(transport=httpx.MockTransport(self._record))

    def _record(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return httpx.Response(200, stream=httpx.ByteStream(b"{}"))

    @property
    def form(self) -> dict[str, str]:
        [request] = self.requests
        return {name: values[0] for name, values in parse_qs(request.content.decode()).items()}


def test_consent_url_follows_the_rfcs() -> None:
    verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"  # RFC 7636 appendix B
    url = authorize_url(
        OAUTH2, CLIENT, redirect_uri="https://e.example/cb", state="s&t", verifier=verifier, scopes=("a", "b")
    )
    query = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
    assert query == {
        "kind": "x",
        "response_type": "code",
        "client_id": "my id",
        "redirect_uri": "https://e.example/cb",
        "state": "s&t",
        "scope": "a b",
        "code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
        "code_challenge_method": "S256",
    }
    assert 43 <= len(new_verifier()) <= 128 and new_verifier() != new_verifier()


async def test_basic_authentication_encodes_odd_characters_first() -> None:
    async with Recorded() as http:
        await refresh(http, OAUTH2, CLIENT, TOKENS)
        scheme, _, text = http.requests[0].headers["authorization"].partition(" ")
        assert (scheme, base64.b64decode(text)) == ("Basic", b"my%20id:s%3Ac%2Fr%25t%2B%C3%BC")
        assert http.form == {"grant_type": "refresh_token", "refresh_token": "r"}


async def test_posted_client_stands_in_the_body() -> None:
    async with Recorded() as http:
        await exchange_code(
            http,
            OAUTH2.model_copy(update={"client_auth": "post"}),
            CLIENT,
            code="c",
            redirect_uri="https://e.example/cb",
            verifier="v",
        )
        assert "authorization" not in http.requests[0].headers
        assert http.form == {
            "grant_type": "authorization_code",
            "code": "c",
            "redirect_uri": "https://e.example/cb",
            "code_verifier": "v",
            "client_id": "my id",
            "client_secret": CLIENT.client_secret,
        }


async def test_revocation_takes_the_refresh_token_where_there_is_one() -> None:
    for credential, expected in ((TOKENS, "r"), (TOKENS.model_copy(update={"refresh_token": None}), "a")):
        async with Recorded() as http:
            await revoke(http, OAUTH2, CLIENT, credential)
            assert http.form["token"] == expected and str(http.requests[0].url) == OAUTH2.revoke_url


def test_client_and_credential_do_not_show_their_secrets() -> None:
    assert "s:c" not in repr(CLIENT) and "'r'" not in repr(TOKENS)
    assert "planted" not in repr(KeyCredential(fields={"api_key": "planted"}))


def test_every_catalog_file_is_valid_and_has_what_it_needs() -> None:
    catalog = Catalog.load(ROOT / "sandbox" / "catalog")
    assert {entry.slug for entry in catalog} >= {"sandbox", "sandbox-key"}


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("sandbox.yaml", {"colour": "red"}),
        ("sandbox.yaml", {"oauth2": None}),
        ("sandbox.yaml", {"slug": "another"}),
        ("sandbox.yaml", {"auth_type": "magic"}),
        ("sandbox-key.yaml", {"fields": []}),
        ("sandbox-key.yaml", {"probe": {"url": "http://x/", "dead": [{"reason": "bored"}]}}),
    ],
    ids=str,
)
def test_invalid_catalog_file_is_refused_by_its_name(tmp_path: Path, name: str, change: dict[str, object]) -> None:
    entry = yaml.safe_load((ROOT / "sandbox" / "catalog" / name).read_text())
    (tmp_path / name).write_text(yaml.safe_dump({**entry, **change}))
    with pytest.raises(CatalogError, match=name):
        Catalog.load(tmp_path)


@pytest.mark.parametrize("key", ["a\r\nx-evil: 1", "a\nb", "schlüssel"])
async def test_key_that_no_header_can_carry_never_reaches_the_wire(key: str) -> None:
    entry = Catalog.load(ROOT / "sandbox" / "catalog").get("sandbox-key")
    assert entry is not None and entry.probe is not None
    async with Recorded() as http:
        judged = await probe(http, entry.probe, KeyCredential(fields={"api_key": key}))
        assert judged.verdict is Verdict.DEAD and http.requests == []


def test_signature_is_verified_by_the_standard_library_of_receivers() -> None:
    secret, now = new_secret(), int(datetime.now(UTC).timestamp())
    headers = {
        "webhook-id": "evt_1",
        "webhook-timestamp": str(now),
        "webhook-signature": sign(secret.encode(), "evt_1", now, b'{"a":1}'),
    }
    assert Webhook(secret).verify(b'{"a":1}', headers) == {"a": 1}
    for change, body, key in (
        ({}, b'{"a":2}', secret),
        ({"webhook-id": "evt_2"}, b'{"a":1}', secret),
        ({"webhook-timestamp": str(now - 1)}, b'{"a":1}', secret),
        ({}, b'{"a":1}', new_secret()),
    ):
        with pytest.raises(WebhookVerificationError):
            Webhook(key).verify(body, {**headers, **change})
