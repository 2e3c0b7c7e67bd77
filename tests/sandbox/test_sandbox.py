"""The sandbox behaves as a strict provider does; everything here runs against its real process."""

import asyncio
import base64
import hashlib
import os
import secrets
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from subprocess import PIPE
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest

from sandbox.contacts import CONTACTS
from sandbox.customer import Customer
from tests.sandbox_process import running_sandbox

CLIENT = ("everlink-sandbox", "sandbox-secret")
Token = dict[str, Any]


def start(database: Path, port: str = "0") -> subprocess.Popen[str]:
    environment = os.environ | {
        "SANDBOX_PORT": port,
        "SANDBOX_DB": str(database),
        # The sandbox lets a loopback address have any port, so it can be its own callback.
        "SANDBOX_REDIRECT_URIS": "http://127.0.0.1/healthz",
    }
    command = [sys.executable, "-m", "sandbox"]
    return subprocess.Popen(command, env=environment, stdout=PIPE, stderr=PIPE, text=True)


@pytest.fixture(scope="module")
def sandbox_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    process = start(tmp_path_factory.mktemp("sandbox") / "new" / "sandbox.sqlite3")
    assert process.stdout
    ready = process.stdout.readline()
    assert ready.startswith("sandbox ready on http://127.0.0.1:")
    yield ready.split()[-1]
    process.terminate()
    out, err = process.communicate(timeout=5)
    assert (process.returncode, out, err) == (0, "", "")


@pytest.fixture
async def http(sandbox_url: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=sandbox_url, trust_env=False) as client:
        yield client


@pytest.fixture
async def ada(sandbox_url: str) -> AsyncIterator[Customer]:
    async with Customer(sandbox_url, "ada", "ada-password") as customer:
        yield customer
        await customer.revoke()


async def authorize(customer: Customer, allow: bool = True) -> tuple[httpx.QueryParams, str]:
    """What the callback received, and the verifier that belongs to it."""
    verifier = secrets.token_urlsafe(48)
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    query = {
        "response_type": "code",
        "client_id": CLIENT[0],
        "redirect_uri": f"{customer.sandbox_url}/healthz",
    }
    query |= {"scope": "read write", "state": "planted-state"}
    query |= {"code_challenge": challenge, "code_challenge_method": "S256"}
    page = await customer.consent(f"{customer.sandbox_url}/o/authorize/?{urlencode(query)}", allow=allow)
    assert (page.url.path, page.url.params["state"]) == ("/healthz", "planted-state")
    return page.url.params, verifier


async def exchange(http: httpx.AsyncClient, code: str, verifier: str) -> httpx.Response:
    form = {"grant_type": "authorization_code", "code": code, "code_verifier": verifier}
    form["redirect_uri"] = f"{http.base_url}/healthz"
    return await http.post("/o/token/", auth=CLIENT, data=form)


async def connect(http: httpx.AsyncClient, customer: Customer) -> Token:
    callback, verifier = await authorize(customer)
    token: Token = (await exchange(http, callback["code"], verifier)).raise_for_status().json()
    return token


async def refresh(http: httpx.AsyncClient, token: Token, client: tuple[str, str] = CLIENT) -> httpx.Response:
    form = {"grant_type": "refresh_token", "refresh_token": token["refresh_token"]}
    return await http.post("/o/token/", auth=client, data=form)


async def me(http: httpx.AsyncClient, token: Token) -> httpx.Response:
    return await http.get("/api/me", headers={"Authorization": f"Bearer {token['access_token']}"})


def refusal(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]


async def test_access_token_opens_the_profile(http: httpx.AsyncClient, ada: Customer) -> None:
    token = await connect(http, ada)
    assert (token["token_type"], token["expires_in"], token["scope"]) == ("Bearer", 60, "read write")
    profile = (await me(http, token)).json()
    assert profile.pop("id").isdigit()
    assert profile == {"username": "ada", "email": "ada@acme.example", "name": "Ada Lovelace"}
    assert refusal(await http.get("/api/me")) == (401, "invalid_token")


async def test_contacts_come_page_by_page(http: httpx.AsyncClient, ada: Customer) -> None:
    token = await connect(http, ada)
    http.headers["Authorization"] = f"Bearer {token['access_token']}"
    ids: list[str] = []
    number: int | None = 1
    while number is not None:
        page = (await http.get("/api/contacts", params={"page": number})).json()
        ids += [contact["id"] for contact in page["contacts"]]
        number = page["next_page"]
    assert ids == [contact["id"] for contact in CONTACTS]
    for none in ("0", "-1", "x", ""):
        assert refusal(await http.get("/api/contacts", params={"page": none})) == (400, "invalid_page")
    await ada.revoke()
    assert refusal(await http.get("/api/contacts")) == (401, "invalid_token")


async def test_callback_names_the_issuer_of_the_metadata(http: httpx.AsyncClient, ada: Customer) -> None:
    callback, _ = await authorize(ada)
    metadata = (await http.get("/.well-known/oauth-authorization-server/o")).json()
    assert callback["iss"] == metadata["issuer"] == f"{ada.sandbox_url}/o"


async def test_denied_consent_comes_back_as_access_denied(ada: Customer) -> None:
    callback, _ = await authorize(ada, allow=False)
    assert callback["error"] == "access_denied"
    assert "code" not in callback


async def test_wrong_password_is_said(sandbox_url: str) -> None:
    async with Customer(sandbox_url, "ada", "not-her-password") as stranger:
        with pytest.raises(PermissionError):
            await stranger.consent(f"{sandbox_url}/")
        with pytest.raises(httpx.HTTPStatusError, match="401"):
            await stranger.live_tokens()


async def test_code_is_bound_to_its_verifier_and_used_once(http: httpx.AsyncClient, ada: Customer) -> None:
    callback, verifier = await authorize(ada)
    assert refusal(await exchange(http, callback["code"], "x" * 64)) == (400, "invalid_grant")
    assert (await exchange(http, callback["code"], verifier)).status_code == 200
    assert refusal(await exchange(http, callback["code"], verifier)) == (400, "invalid_grant")


async def test_reused_refresh_token_ends_the_whole_family(http: httpx.AsyncClient, ada: Customer) -> None:
    first = await connect(http, ada)
    second = (await refresh(http, first)).json()
    assert second["refresh_token"] != first["refresh_token"]
    assert (await me(http, first)).status_code == 401
    assert (await me(http, second)).status_code == 200

    assert refusal(await refresh(http, first)) == (400, "invalid_grant")
    assert (await me(http, second)).status_code == 401
    assert refusal(await refresh(http, second)) == (400, "invalid_grant")
    assert await ada.live_tokens() == {"access": 0, "refresh": 0}


async def test_one_of_two_refreshes_at_once_is_a_reuse(http: httpx.AsyncClient, ada: Customer) -> None:
    token = await connect(http, ada)
    answers = await asyncio.gather(*(refresh(http, token) for _ in range(2)))
    assert sorted(answer.status_code for answer in answers) == [200, 400]
    assert await ada.live_tokens() == {"access": 0, "refresh": 0}


async def test_wrong_client_secret_ends_nothing(http: httpx.AsyncClient, ada: Customer) -> None:
    token = await connect(http, ada)
    wrong = (CLIENT[0], "wrong")
    assert refusal(await refresh(http, token, wrong)) == (401, "invalid_client")
    assert (await refresh(http, token)).status_code == 200


async def test_customer_revokes(http: httpx.AsyncClient, ada: Customer) -> None:
    token = await connect(http, ada)
    assert await ada.live_tokens() == {"access": 1, "refresh": 1}
    assert "Everlink sandbox" in (await ada.consent(f"{ada.sandbox_url}/")).text
    assert await ada.revoke() == 2
    assert refusal(await me(http, token)) == (401, "invalid_token")
    assert refusal(await refresh(http, token)) == (400, "invalid_grant")
    assert "Everlink sandbox" not in (await ada.consent(f"{ada.sandbox_url}/")).text


async def test_product_revokes_upstream(http: httpx.AsyncClient, ada: Customer) -> None:
    token = await connect(http, ada)
    assert (await http.post("/o/revoke_token/", auth=CLIENT, data={"token": token["refresh_token"]})).is_success
    assert await ada.live_tokens() == {"access": 0, "refresh": 0}


async def test_key_lives_until_its_customer_deletes_it(http: httpx.AsyncClient, ada: Customer) -> None:
    key_id, key = await ada.create_key()
    assert key.startswith("sk_sandbox_")
    assert (await http.get("/api/key/me", headers={"X-Api-Key": key})).json()["username"] == "ada"
    async with Customer(ada.sandbox_url, "grace", "grace-password") as grace:
        with pytest.raises(httpx.HTTPStatusError, match="404"):
            await grace.delete_key(key_id)
    await ada.delete_key(key_id)
    assert refusal(await http.get("/api/key/me", headers={"X-Api-Key": key})) == (401, "invalid_api_key")


def test_busy_port_is_said_in_one_line(sandbox_url: str, tmp_path: Path) -> None:
    port = sandbox_url.rpartition(":")[2]
    second = start(tmp_path / "second.sqlite3", port)
    out, err = second.communicate(timeout=20)
    expected = f"sandbox: cannot listen on 127.0.0.1:{port}: Address already in use\n"
    assert (second.returncode, out, err) == (1, "", expected)


async def test_told_to_skip_consent_it_asks_nobody(tmp_path: Path) -> None:
    told = {"SANDBOX_SKIP_CONSENT": "1", "SANDBOX_REDIRECT_URIS": "http://127.0.0.1/healthz"}
    async with running_sandbox(tmp_path, **told) as url, Customer(url, "ada", "ada-password") as ada:
        for _ in range(2):
            callback, _ = await authorize(ada, allow=False)  # as there is no question, there is nobody who says no
            assert callback["code"]
            await ada.revoke()
