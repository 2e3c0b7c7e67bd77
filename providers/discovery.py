"""Reads what an OAuth 2 server says of itself, and makes the draft of a catalog entry of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any
from urllib.parse import urlsplit

import httpx
from pydantic import BaseModel, ConfigDict, Field, Strict

from providers.entry import Definition
from providers.http import RequestFailed, send

MAX_BYTES = 256 * 1024
DEADLINE_SECONDS = 10.0
S256 = "S256"
WANTED_SCOPES = ("openid", "offline_access")  # whose account it is, and a refresh token

Text = Annotated[str, Strict(), Field(min_length=1, max_length=2000)]
Texts = Annotated[list[Text], Field(max_length=1000)]


class Metadata(BaseModel):
    """RFC 8414 section 2 and OpenID Connect Discovery 1.0 section 3, as far as an entry needs them."""

    model_config = ConfigDict(hide_input_in_errors=True)

    issuer: Text
    authorization_endpoint: Text
    token_endpoint: Text
    revocation_endpoint: Text | None = None
    introspection_endpoint: Text | None = None
    userinfo_endpoint: Text | None = None
    scopes_supported: Texts = []
    code_challenge_methods_supported: Texts = []
    token_endpoint_auth_methods_supported: Texts = ["client_secret_basic"]
    authorization_response_iss_parameter_supported: Annotated[bool, Strict()] = False

    @property
    def client_auth(self) -> str | None:
        """How a client shows itself; None where it would have to be a way that we do not know."""
        methods = self.token_endpoint_auth_methods_supported
        if "client_secret_basic" in methods:
            return "basic"
        return "post" if {"client_secret_post", "none"} & set(methods) else None


def places(issuer: str) -> Iterator[str]:
    """Where a server's metadata may stand (RFC 8414 section 3.1; OpenID Connect Discovery 1.0 section 4.1)."""
    parts = urlsplit(issuer)
    path = parts.path.rstrip("/")
    yield f"{parts.scheme}://{parts.netloc}/.well-known/oauth-authorization-server{path}"
    yield f"{parts.scheme}://{parts.netloc}{path}/.well-known/openid-configuration"


async def read(http: httpx.AsyncClient, url: str) -> dict[str, Any] | None:
    """What a server says at a place; None where nothing is there. Redirects are not followed.

    Raises:
        RequestFailed: no whole answer came, far too much, or that the server cannot say it now.
    """
    answer = await send(http, "GET", url, max_bytes=MAX_BYTES, deadline=DEADLINE_SECONDS)
    if answer.status == 429 or answer.status >= 500:
        raise RequestFailed(f"the server answered HTTP {answer.status}", sent=True)
    return answer.json if answer.status == 200 else None


def draft(said: Metadata) -> Definition:
    """The entry, as far as the metadata goes. It is named after the host, and not described.

    Raises:
        ValueError: what is said makes no entry.
    """
    scopes = [scope for scope in WANTED_SCOPES if scope in said.scopes_supported]
    oauth2 = {
        "authorize_url": said.authorization_endpoint,
        "token_url": said.token_endpoint,
        "revoke_url": said.revocation_endpoint,
        "introspect_url": said.introspection_endpoint,
        "issuer": said.issuer if said.authorization_response_iss_parameter_supported else None,
        "client_auth": said.client_auth,
        "pkce": S256 in said.code_challenge_methods_supported,
        "scopes": scopes,
    }
    entry: dict[str, Any] = {
        "name": (urlsplit(said.issuer).hostname or "")[:100],
        "description": "",
        "auth_type": "oauth2",
        "oauth2": {name: value for name, value in oauth2.items() if value is not None},
    }
    if said.userinfo_endpoint is not None and "openid" in scopes:
        entry["probe"] = {
            "url": said.userinfo_endpoint,
            "headers": {"Authorization": "Bearer {access_token}"},
            "dead": [{"status": 401, "reason": "access_revoked"}],
        }
        entry["identity"] = {"id": "probe.sub"}
    return Definition.model_validate(entry)


def notes(made: Definition) -> list[str]:
    """What a draft does not say."""
    assert made.oauth2 is not None
    found = ["name the application and describe it"]
    if made.probe is None:
        found.append("say by `probe` and `identity` whose account was connected: the server names no way")
    if "offline_access" not in made.oauth2.scopes:
        found.append("find out which scope or parameter gives a refresh token, where it does not come by itself")
    if made.oauth2.revoke_url is None:
        found.append("say how a grant is revoked: the server names no address")
    return found
