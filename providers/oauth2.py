"""The OAuth 2 protocol client: authorization code with PKCE, refresh, revocation."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, urlencode

import httpx

from providers.credential import OAuthCredential
from providers.entry import OAuth2
from providers.http import Answer, send


@dataclass(frozen=True)
class Client:
    """The organization's own client at the provider."""

    client_id: str
    client_secret: str | None = field(repr=False)


def new_verifier() -> str:
    """A PKCE code verifier (RFC 7636 section 4.1)."""
    return secrets.token_urlsafe(48)


def authorize_url(
    oauth2: OAuth2, client: Client, *, redirect_uri: str, state: str, verifier: str, scopes: tuple[str, ...]
) -> str:
    """Where the browser goes for consent (RFC 6749 section 4.1.1, PKCE S256 by RFC 7636)."""
    assert oauth2.authorize_url is not None
    query = {
        "response_type": "code",
        "client_id": client.client_id,
        "redirect_uri": redirect_uri,
        "state": state,
        **oauth2.authorize_params,
    }
    if scopes:
        query["scope"] = oauth2.scope_separator.join(scopes)
    if oauth2.pkce:
        digest = hashlib.sha256(verifier.encode()).digest()
        query["code_challenge"] = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        query["code_challenge_method"] = "S256"
    separator = "&" if "?" in oauth2.authorize_url else "?"
    return f"{oauth2.authorize_url}{separator}{urlencode(query)}"


async def exchange_code(
    http: httpx.AsyncClient, oauth2: OAuth2, client: Client, *, code: str, redirect_uri: str, verifier: str
) -> Answer:
    """Trade a code for tokens (RFC 6749 section 4.1.3). Raises `RequestFailed`."""
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect_uri}
    if oauth2.pkce:
        form["code_verifier"] = verifier
    return await _post(http, oauth2, client, oauth2.token_url, form)


async def refresh(
    http: httpx.AsyncClient,
    oauth2: OAuth2,
    client: Client,
    credential: OAuthCredential,
    deadline: float | None = None,
) -> Answer:
    """Ask for a new access token (RFC 6749 section 6). One request. Raises `RequestFailed`."""
    assert credential.refresh_token is not None
    form = {"grant_type": "refresh_token", "refresh_token": credential.refresh_token}
    return await _post(http, oauth2, client, oauth2.token_url, form, deadline)


async def revoke(http: httpx.AsyncClient, oauth2: OAuth2, client: Client, credential: OAuthCredential) -> Answer:
    """Revoke the grant (RFC 7009 section 2.1): the refresh token, where there is one. Raises `RequestFailed`."""
    assert oauth2.revoke_url is not None
    token, hint = credential.refresh_token, "refresh_token"
    if token is None:
        token, hint = credential.access_token, "access_token"
    return await _post(http, oauth2, client, oauth2.revoke_url, {"token": token, "token_type_hint": hint})


async def _post(
    http: httpx.AsyncClient,
    oauth2: OAuth2,
    client: Client,
    url: str,
    form: Mapping[str, str],
    deadline: float | None = None,
) -> Answer:
    if oauth2.client_auth == "basic" and client.client_secret is not None:
        # RFC 6749 section 2.3.1: both are form-encoded before they become a Basic header.
        auth = (quote(client.client_id, safe=""), quote(client.client_secret, safe=""))
        return await send(http, "POST", url, data=form, auth=auth, deadline=deadline)
    body = {**form, "client_id": client.client_id}
    if client.client_secret is not None:
        body["client_secret"] = client.client_secret
    if oauth2.token_body == "json":
        content = json.dumps(body).encode()
        return await send(
            http, "POST", url, content=content, headers={"content-type": "application/json"}, deadline=deadline
        )
    return await send(http, "POST", url, data=body, deadline=deadline)
