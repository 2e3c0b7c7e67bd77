"""The OAuth 2 client as a server sees it."""

from __future__ import annotations

import base64
import json
from contextlib import suppress
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from pydantic import ValidationError

from providers.credential import KeyCredential, OAuthCredential
from providers.entry import OAuth2
from providers.guard import TargetGuard
from providers.http import RequestFailed, make_client
from providers.oauth2 import Client, authorize_url, exchange_code, new_verifier, refresh, revoke
from tests.providers.server import Behaviour, Server, abort, answering, answering_with

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


async def test_client_that_is_known_by_its_secret_alone_shows_no_id() -> None:
    async with Recorded() as http:
        await refresh(http, OAUTH2.model_copy(update={"client_auth": "secret"}), CLIENT, TOKENS)
        scheme, _, text = http.requests[0].headers["authorization"].partition(" ")
        assert (scheme, base64.b64decode(text).decode()) == ("Basic", f"{CLIENT.client_secret}:")
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


async def test_server_that_speaks_json_gets_all_of_it_so() -> None:
    async with Recorded() as http:
        await refresh(http, OAUTH2.model_copy(update={"token_body": "json", "client_auth": "post"}), CLIENT, TOKENS)
        [request] = http.requests
        assert "authorization" not in request.headers
        assert request.headers["content-type"] == "application/json"
        assert json.loads(request.content) == {
            "grant_type": "refresh_token",
            "refresh_token": "r",
            "client_id": "my id",
            "client_secret": CLIENT.client_secret,
        }


async def test_revocation_takes_the_refresh_token_where_there_is_one() -> None:
    for credential, expected in ((TOKENS, "r"), (TOKENS.model_copy(update={"refresh_token": None}), "a")):
        async with Recorded() as http:
            await revoke(http, OAUTH2, CLIENT, credential)
            assert http.form["token"] == expected and str(http.requests[0].url) == OAUTH2.revoke_url


async def test_client_without_a_secret_names_itself_in_the_body() -> None:
    async with Recorded() as http:
        await refresh(http, OAUTH2, Client("public", None), TOKENS)
        assert "authorization" not in http.requests[0].headers
        assert http.form == {"grant_type": "refresh_token", "refresh_token": "r", "client_id": "public"}


async def test_verifier_goes_along_only_where_a_challenge_went_before() -> None:
    plain = OAUTH2.model_copy(update={"pkce": False})
    url = authorize_url(plain, CLIENT, redirect_uri="https://e.example/cb", state="s", verifier="v", scopes=())
    assert "challenge" not in url and "scope" not in url
    async with Recorded() as http:
        await exchange_code(http, plain, CLIENT, code="c", redirect_uri="https://e.example/cb", verifier="v")
        assert "code_verifier" not in http.form


def test_consent_url_says_what_the_application_wants() -> None:
    oauth2 = OAUTH2.model_copy(
        update={
            "authorize_url": "https://p.example/authorize",
            "scope_separator": ",",
            "authorize_params": {"access_type": "offline"},
        }
    )
    url = authorize_url(oauth2, CLIENT, redirect_uri="https://e.example/", state="s", verifier="v", scopes=("a", "b"))
    query = parse_qs(urlsplit(url).query)
    assert url.startswith("https://p.example/authorize?")
    assert (query["scope"], query["access_type"]) == (["a,b"], ["offline"])


@pytest.mark.parametrize(
    "behaviour",
    [
        answering_with(b"{}"),
        answering(b'HTTP/1.1 401 No\r\nwww-authenticate: Basic realm="x"\r\ncontent-length: 0\r\n\r\n'),
        answering(b"HTTP/1.1 503 Busy\r\nretry-after: 0\r\ncontent-length: 0\r\n\r\n"),
        answering(b"HTTP/1.1 307 X\r\nlocation: /token\r\ncontent-length: 0\r\n\r\n"),
        abort,
    ],
    ids=["fine", "unauthorized", "busy", "redirect", "reset"],
)
async def test_refresh_is_one_request_on_the_wire_whatever_comes_back(behaviour: Behaviour) -> None:
    server = Server(behaviour)
    async with server as url, make_client(TargetGuard(["127.0.0.1"])) as http:
        with suppress(RequestFailed):
            await refresh(http, OAUTH2.model_copy(update={"token_url": url}), CLIENT, TOKENS)
    assert (server.connections, len(server.seen)) == (1, 1)
    head, _, body = server.seen[0].partition(b"\r\n\r\n")
    line, *headers = head.split(b"\r\n")
    assert (line, body) == (b"POST /token HTTP/1.1", b"grant_type=refresh_token&refresh_token=r")
    assert b"Authorization: Basic " + base64.b64encode(b"my%20id:s%3Ac%2Fr%25t%2B%C3%BC") in headers
    assert b"accept: application/json" in headers and b"accept-encoding: identity" in headers


async def test_odd_characters_of_a_token_arrive_as_they_were() -> None:
    odd = "a+b/c=d&e f%20ü"
    async with Recorded() as http:
        await refresh(http, OAUTH2, CLIENT, TOKENS.model_copy(update={"refresh_token": odd}))
        assert http.form["refresh_token"] == odd


def test_client_and_credential_do_not_show_their_secrets() -> None:
    assert "s:c" not in repr(CLIENT) and "'r'" not in repr(TOKENS)
    assert "planted" not in repr(KeyCredential(fields={"api_key": "planted"}))
    assert "planted" not in repr(OAuthCredential(access_token="planted", extra={"id_token": "planted"}))


@pytest.mark.parametrize("broken", [b'{"access_token": "planted', b'{"access_token": ["planted"]}', b'["planted"]'])
def test_credential_that_cannot_be_read_is_not_shown_by_the_error(broken: bytes) -> None:
    with pytest.raises(ValidationError) as caught:
        OAuthCredential.model_validate_json(broken)
    assert "planted" not in str(caught.value)
    with pytest.raises(ValidationError) as caught:
        KeyCredential.model_validate_json(broken)
    assert "planted" not in str(caught.value)
