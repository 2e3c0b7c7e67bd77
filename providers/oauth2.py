"""The OAuth 2 protocol client: authorization code with PKCE, client credentials, refresh, revocation.

Addresses, parameters and headers of a catalog entry may have the customer's fields in them. Each request here raises
`CannotFill` where one of them is missing or cannot stand in its place: then nothing was sent.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from urllib.parse import quote, urlencode

import httpx

from providers.credential import OAuthCredential
from providers.entry import OAuth2
from providers.http import Answer, send
from providers.templates import fill, fill_all, fill_headers, fill_url

Values = Mapping[str, str]
NOTHING: Values = MappingProxyType({})


@dataclass(frozen=True)
class Client:
    """A client at the provider: the organization's own or, for client credentials, the customer's."""

    client_id: str
    client_secret: str | None = field(repr=False)


def customers_client(given: Values) -> Client:
    """The client that a customer typed in. Raises `CannotFill`."""
    return Client(fill("{client_id}", given), fill("{client_secret}", given))


def is_renewable(oauth2: OAuth2, credential: OAuthCredential) -> bool:
    """Whether another access token can be asked for without the customer."""
    return credential.refresh_token is not None or oauth2.asks_with_customers_client


def new_verifier() -> str:
    """A PKCE code verifier (RFC 7636 section 4.1)."""
    return secrets.token_urlsafe(48)


def authorize_url(
    oauth2: OAuth2,
    client: Client,
    *,
    redirect_uri: str,
    state: str,
    verifier: str,
    scopes: tuple[str, ...],
    given: Values = NOTHING,
) -> str:
    """Where the browser goes for consent (RFC 6749 section 4.1.1, PKCE S256 by RFC 7636)."""
    assert oauth2.authorize_url is not None
    query = {
        "response_type": "code",
        oauth2.client_id_param: client.client_id,
        "redirect_uri": redirect_uri,
        "state": state,
        **fill_all(oauth2.authorize_params, given),
    }
    if scopes:
        query["scope"] = oauth2.scope_separator.join(scopes)
    if oauth2.pkce:
        digest = hashlib.sha256(verifier.encode()).digest()
        query["code_challenge"] = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        query["code_challenge_method"] = "S256"
    separator = "&" if "?" in oauth2.authorize_url else "?"
    return f"{fill_url(oauth2.authorize_url, given)}{separator}{urlencode(query)}"


def renewal_url(oauth2: OAuth2, given: Values) -> str:
    """Where tokens are renewed."""
    return fill_url(oauth2.refresh_url or oauth2.token_url, given)


def check_fields(oauth2: OAuth2, given: Values) -> None:
    """Whether the fields can stand wherever the entry's requests need them. Raises `CannotFill`."""
    for url in oauth2.addresses:
        fill_url(url, given)
    fill_all(oauth2.authorize_params, given)
    fill_all(oauth2.token_params, given)
    fill_headers(oauth2.token_headers, given)


async def exchange_code(
    http: httpx.AsyncClient,
    oauth2: OAuth2,
    client: Client,
    *,
    code: str,
    redirect_uri: str,
    verifier: str,
    given: Values = NOTHING,
) -> Answer:
    """Trade a code for tokens (RFC 6749 section 4.1.3). Raises `RequestFailed`."""
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect_uri}
    if oauth2.pkce:
        form["code_verifier"] = verifier
    return await _ask_for_token(http, oauth2, client, fill_url(oauth2.token_url, given), form, given)


async def trade_client(
    http: httpx.AsyncClient, oauth2: OAuth2, client: Client, given: Values, deadline: float | None = None
) -> Answer:
    """Trade the customer's own client for an access token (RFC 6749 section 4.4.2). Raises `RequestFailed`."""
    form = {"grant_type": "client_credentials"}
    if oauth2.scopes:
        form["scope"] = oauth2.scope_separator.join(oauth2.scopes)
    return await _ask_for_token(http, oauth2, client, fill_url(oauth2.token_url, given), form, given, deadline)


async def refresh(
    http: httpx.AsyncClient,
    oauth2: OAuth2,
    client: Client,
    credential: OAuthCredential,
    deadline: float | None = None,
) -> Answer:
    """Ask for a new access token: by the refresh token (RFC 6749 section 6), or with the customer's own client.

    One request. Raises `RequestFailed`.
    """
    if oauth2.asks_with_customers_client:
        return await trade_client(http, oauth2, client, credential.given, deadline)
    assert credential.refresh_token is not None
    form = {"grant_type": "refresh_token", "refresh_token": credential.refresh_token}
    url = renewal_url(oauth2, credential.given)
    return await _ask_for_token(http, oauth2, client, url, form, credential.given, deadline)


async def revoke(http: httpx.AsyncClient, oauth2: OAuth2, client: Client, credential: OAuthCredential) -> Answer:
    """Revoke the grant (RFC 7009 section 2.1): the refresh token, where there is one. Raises `RequestFailed`."""
    assert oauth2.revoke_url is not None
    token, hint = credential.refresh_token, "refresh_token"
    if token is None:
        token, hint = credential.access_token, "access_token"
    url, form = fill_url(oauth2.revoke_url, credential.given), {"token": token, "token_type_hint": hint}
    return await _post(http, oauth2, client, url, form)


async def introspect(http: httpx.AsyncClient, oauth2: OAuth2, client: Client, credential: OAuthCredential) -> Answer:
    """Ask whether the access token works (RFC 7662 section 2.1). Raises `RequestFailed`."""
    assert oauth2.introspect_url is not None
    form = {"token": credential.access_token, "token_type_hint": "access_token"}
    return await _post(http, oauth2, client, fill_url(oauth2.introspect_url, credential.given), form)


async def _ask_for_token(
    http: httpx.AsyncClient,
    oauth2: OAuth2,
    client: Client,
    url: str,
    form: Mapping[str, str],
    given: Values,
    deadline: float | None = None,
) -> Answer:
    more, headers = fill_all(oauth2.token_params, given), fill_headers(oauth2.token_headers, given)
    return await _post(http, oauth2, client, url, {**form, **more}, headers, deadline)


async def _post(
    http: httpx.AsyncClient,
    oauth2: OAuth2,
    client: Client,
    url: str,
    form: Mapping[str, str],
    headers: Mapping[str, str] = NOTHING,
    deadline: float | None = None,
) -> Answer:
    body, auth = dict(form), None
    if oauth2.client_auth == "basic" and client.client_secret is not None:
        # RFC 6749 section 2.3.1: both are form-encoded before they become a Basic header.
        auth = (quote(client.client_id, safe=""), quote(client.client_secret, safe=""))
    elif oauth2.client_auth == "secret" and client.client_secret is not None:
        auth = (client.client_secret, "")
    else:
        body[oauth2.client_id_param] = client.client_id
        if client.client_secret is not None:
            body["client_secret"] = client.client_secret
    if oauth2.token_body == "form":
        return await send(http, "POST", url, data=body, headers=headers, auth=auth, deadline=deadline)
    content, headers = json.dumps(body).encode(), {**headers, "content-type": "application/json"}
    return await send(http, "POST", url, content=content, headers=headers, auth=auth, deadline=deadline)
