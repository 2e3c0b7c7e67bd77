"""What a server says of itself becomes a draft, and nothing that a hostile one says does harm."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from tests.api.conftest import Everlink

DISCOVER = "/v1/catalog/discover"
PLANTED = "planted-7f3a"


@dataclass
class Server:
    """Answers at the paths that a test names; 404 elsewhere."""

    url: str = ""
    pages: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def says(self, path: str, said: Any, head: str = "HTTP/1.1 200 OK") -> None:
        body = said if isinstance(said, bytes) else json.dumps(said).encode()
        self.pages[path] = f"{head}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n".encode() + body

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = (await reader.readuntil(b"\r\n\r\n")).split()[1].decode()
        self.asked.append(path)
        writer.write(self.pages.get(path, b"HTTP/1.1 404 X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"))
        writer.close()

    def metadata(self, issuer: str, **changes: Any) -> dict[str, Any]:
        whole = {
            "issuer": issuer,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "revocation_endpoint": f"{self.url}/revoke",
            "introspection_endpoint": f"{self.url}/introspect",
            "userinfo_endpoint": f"{self.url}/me",
            "scopes_supported": ["openid", "email", "offline_access"],
            "code_challenge_methods_supported": ["plain", "S256"],
            "token_endpoint_auth_methods_supported": ["client_secret_post"],
            "authorization_response_iss_parameter_supported": True,
            **changes,
        }
        return {name: value for name, value in whole.items() if value is not None}


OAUTH, OIDC = "/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    made = Server()
    listening = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    yield made
    listening.close()


async def discover(product: httpx.AsyncClient, issuer: str) -> httpx.Response:
    return await product.post(DISCOVER, json={"issuer": issuer})


async def refusal(product: httpx.AsyncClient, issuer: str) -> str:
    answer = await discover(product, issuer)
    assert answer.status_code in (422, 502), answer.text
    assert PLANTED not in answer.text
    return str(answer.json()["error_code"])


async def test_sandbox_tells_of_itself_and_its_draft_connects(everlink: Everlink, product: httpx.AsyncClient) -> None:
    found = await discover(product, f"{everlink.sandbox}/o")
    assert found.status_code == 200, found.text
    draft = found.json()["definition"]
    assert draft["oauth2"] == {
        "authorize_url": f"{everlink.sandbox}/o/authorize/",
        "token_url": f"{everlink.sandbox}/o/token/",
        "revoke_url": f"{everlink.sandbox}/o/revoke_token/",
        "introspect_url": f"{everlink.sandbox}/o/introspect/",
        "issuer": f"{everlink.sandbox}/o",
        "client_auth": "basic",
        "pkce": True,
        "scopes": [],
    }
    assert "probe" not in draft and any("probe" in note for note in found.json()["notes"])
    draft["oauth2"]["scopes"] = ["read", "write"]
    assert (await product.put("/v1/catalog/own-sandbox", json={**draft, "name": "Found"})).status_code == 200
    client = {"client_id": "everlink-sandbox", "client_secret": "sandbox-secret"}
    await product.put("/v1/applications/own-sandbox", json=client)
    link = await product.get("/api/v2/public/linked-account/integration/oauth-url/own-sandbox")
    async with everlink.customer() as customer:
        assert (await customer.consent(link.json()["auth_url"])).status_code == 200
    [connection] = (await product.get("/v1/connections", params={"application": "own-sandbox"})).json()["connections"]
    assert connection["status"] == "active"


@pytest.mark.parametrize("path", ["", "/tenant/7", "/tenant/7/"])
async def test_metadata_is_looked_for_where_each_standard_has_it(
    product: httpx.AsyncClient, server: Server, path: str
) -> None:
    issuer = server.url + path
    assert await refusal(product, issuer) == "metadata_not_found"
    bare = path.rstrip("/")
    assert server.asked == [OAUTH + bare, bare + OIDC]
    server.says(bare + OIDC, server.metadata(issuer))
    server.says(OAUTH + bare, b"<html>")  # a page for all that is not there
    found = (await discover(product, issuer)).json()
    assert found["definition"] == {
        "name": "127.0.0.1",
        "description": "",
        "auth_type": "oauth2",
        "oauth2": {
            "authorize_url": f"{server.url}/authorize",
            "token_url": f"{server.url}/token",
            "revoke_url": f"{server.url}/revoke",
            "introspect_url": f"{server.url}/introspect",
            "issuer": issuer,
            "client_auth": "post",
            "pkce": True,
            "scopes": ["openid", "offline_access"],
        },
        "probe": {
            "url": f"{server.url}/me",
            "headers": {"Authorization": "Bearer {access_token}"},
            "dead": [{"status": 401, "reason": "access_revoked"}],
        },
        "identity": {"id": "probe.sub"},
    }
    server.says(OAUTH + bare, server.metadata(issuer, token_endpoint=f"{server.url}/first"))
    found = (await discover(product, issuer)).json()
    assert found["definition"]["oauth2"]["token_url"].endswith("/first")


async def test_what_is_not_said_is_not_made_up(product: httpx.AsyncClient, server: Server) -> None:
    said = {name: value for name, value in server.metadata(server.url).items() if name.endswith(("r", "n_endpoint"))}
    said |= {"token_endpoint": f"{server.url}/token", "revocation_endpoint": None, "introspection_endpoint": None}
    server.says(OAUTH, said)
    found = (await discover(product, server.url)).json()
    assert found["definition"]["oauth2"] == {
        "authorize_url": f"{server.url}/authorize",
        "token_url": f"{server.url}/token",
        "client_auth": "basic",  # the default of RFC 8414
        "pkce": False,
        "scopes": [],
    }
    assert len(found["notes"]) == 4


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"issuer": "https://other.example"}, "metadata_refused"),
        ({"issuer": "{url}/"}, "metadata_refused"),  # identical, and not alike
        ({"issuer": [PLANTED]}, "metadata_refused"),
        ({"token_endpoint": f"http://{PLANTED}.example/"}, "catalog_url_refused"),
        ({"token_endpoint": "https://10.0.0.1/"}, "catalog_url_refused"),
        ({"userinfo_endpoint": "https://169.254.169.254/latest/meta-data"}, "catalog_url_refused"),
        ({"revocation_endpoint": f"javascript:{PLANTED}"}, "metadata_refused"),
        ({"authorization_endpoint": "{url}/?state=fixed"}, "metadata_refused"),
        ({"authorization_endpoint": "{url}/{tenant}"}, "metadata_refused"),
        ({"authorization_endpoint": None}, "metadata_refused"),
        ({"token_endpoint": "https://127.0.0.1:99999/"}, "metadata_refused"),
        ({"token_endpoint": {"url": PLANTED}}, "metadata_refused"),
        ({"scopes_supported": PLANTED}, "metadata_refused"),
        ({"scopes_supported": [7]}, "metadata_refused"),
        ({"scopes_supported": ["x"] * 1001}, "metadata_refused"),
        ({"authorization_response_iss_parameter_supported": "yes"}, "metadata_refused"),
        ({"token_endpoint_auth_methods_supported": ["private_key_jwt"]}, "metadata_refused"),
        ({"filler": "x" * 300_000}, "provider_unreachable"),
    ],
    ids=lambda value: str(value)[:60],
)
async def test_hostile_metadata_makes_no_draft(
    product: httpx.AsyncClient, server: Server, changes: dict[str, Any], code: str
) -> None:
    said = json.dumps({**server.metadata(server.url), **changes}).replace("{url}", server.url)
    server.says(OAUTH, said.encode())
    assert await refusal(product, server.url) == code


async def test_redirects_are_not_followed_and_failures_are_told(product: httpx.AsyncClient, server: Server) -> None:
    server.says("/elsewhere", server.metadata(server.url))
    for path in (OAUTH, OIDC):
        server.says(path, b"", f"HTTP/1.1 302 X\r\nlocation: {server.url}/elsewhere")
    assert await refusal(product, server.url) == "metadata_not_found"
    assert "/elsewhere" not in server.asked
    server.says(OAUTH, b"", "HTTP/1.1 503 X")
    assert await refusal(product, server.url) == "provider_unreachable"
    server.pages[OAUTH] = b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{"
    assert await refusal(product, server.url) == "provider_unreachable"


@pytest.mark.parametrize(
    "issuer",
    [
        "",
        PLANTED,
        "http://a.example",
        "https://10.0.0.1",
        "https://[fd00::1]",
        "https://never.invalid",
        "https://1.1.1.1:8443",
        f"https://user:{PLANTED}@127.0.0.1/",
        "https://127.0.0.1/?a=b",
        "https://127.0.0.1/#a",
        "https://127.0.0.1\\@a.example/",
        "https://{place}.example/",
        "{place}/o",
        "https://[::1",
        "file:///etc/passwd",
        "https://127.0.0.1:99999/",
        "https://bücher.example/",
    ],
)
async def test_issuer_that_nothing_may_be_sent_to_is_refused(product: httpx.AsyncClient, issuer: str) -> None:
    assert await refusal(product, issuer) == "issuer_refused"
