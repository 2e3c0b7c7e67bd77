"""Who calls and what they may: one decision for every route, on organization, environment and rights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Header, Query, Request, Security
from fastapi.security import APIKeyHeader, HTTPBearer, SecurityScopes
from fastapi.security.http import HTTPAuthorizationCredentials

from api.cors import check_origin, for_browsers
from api.errors import ApiError, not_found
from api.idempotency import claim
from api.services import Services, services
from everlink.contract import KeyScope
from store.scope import Scope

_api_key = APIKeyHeader(
    name="x-api-key",
    scheme_name="ApiKey",
    description="`tk_...` for the test environment, `pk_...` for production.",
    auto_error=False,
)
_bearer = HTTPBearer(
    scheme_name="SessionToken",
    description="A session token: one linked account's browser, for a while.",
    auto_error=False,
)

Made = Annotated[Services, Depends(services)]
GivenKey = Annotated[str | None, Security(_api_key)]
GivenToken = Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)]
ForBrowsers = Annotated[None, Depends(for_browsers)]


@dataclass(frozen=True)
class Caller:
    """Whose data a request may touch: a tenant's, or that of one linked account of it."""

    scope: Scope
    id: str  # of the API key or the session token
    rights: frozenset[KeyScope]
    linked_account_id: str | None = None  # set: the caller is a browser with a session token


@dataclass(frozen=True)
class Browser:
    """Whose browser it is that shows a session token."""

    scope: Scope
    linked_account_id: str


async def caller(request: Request, made: Services, api_key: str | None, token: str | None) -> Caller:
    """The one decision, made once for each request. An API key wins over a session token.

    Raises:
        ApiError: 401, which does not tell unknown, revoked and expired apart; 403 for a page of an origin that the
            organization has not named; 429 where it asks too often.
    """
    known: Caller | None = getattr(request.state, "caller", None)
    if known is not None:
        return known
    found = None
    if api_key is not None:
        key = await made.api_keys.authenticate(api_key, made.clock())
        found = Caller(key.scope, key.id, key.scopes) if key else None
    elif token is not None:
        session = await made.sessions.authenticate(token, made.clock())
        if session is not None:
            check_origin(request, session.allowed_origins)
            found = Caller(session.scope, session.id, frozenset(), session.linked_account_id)
    if found is None:
        made.limits.count_failure(request)
        if token is not None and api_key is None:
            raise ApiError(401, "invalid_session_token", "the session token is not valid")
        raise ApiError(401, "invalid_api_key", "the API key is missing or not valid")
    made.limits.count_caller(found.id)
    request.state.caller = found
    return found


async def by_key(request: Request, made: Made, needed: SecurityScopes, api_key: GivenKey) -> Scope:
    """The tenant of an API key that may do what is asked."""
    return (await by_key_itself(request, made, needed, api_key)).scope


async def by_key_itself(request: Request, made: Made, needed: SecurityScopes, api_key: GivenKey) -> Caller:
    """The API key, for the routes that must know what else it may do."""
    found = _allowed(await caller(request, made, api_key, None), needed)
    await claim(request, made, found.scope, found.linked_account_id, found.rights)
    return found


async def by_session(request: Request, made: Made, token: GivenToken, _: ForBrowsers) -> Browser:
    """The linked account of a session token."""
    found = await caller(request, made, None, token.credentials) if token else None
    if found is None or found.linked_account_id is None:
        raise ApiError(401, "invalid_session_token", "the session token is not valid")
    await claim(request, made, found.scope, found.linked_account_id, found.rights)
    return Browser(found.scope, found.linked_account_id)


async def by_either(
    request: Request, made: Made, needed: SecurityScopes, api_key: GivenKey, token: GivenToken, _: ForBrowsers
) -> Caller:
    """A tenant's API key, or the session token of one of its linked accounts."""
    found = await caller(request, made, api_key, token.credentials if token else None)
    if found.linked_account_id is None:
        _allowed(found, needed)
    await claim(request, made, found.scope, found.linked_account_id, found.rights)
    return found


def _allowed(found: Caller, needed: SecurityScopes) -> Caller:
    missing = set(needed.scopes) - found.rights
    if missing:
        raise ApiError(403, "insufficient_scope", "the API key may not do this", required_scopes=sorted(missing))
    return found


async def linked_account(
    request: Request,
    made: Made,
    api_key: GivenKey,
    header: Annotated[str | None, Header(alias="linked_account_id", convert_underscores=False, max_length=255)] = None,
    query: Annotated[str | None, Query(alias="linked_account_id", max_length=255)] = None,
) -> str:
    """The linked account that a request with an API key is about; the header wins over the query."""
    scope = (await caller(request, made, api_key, None)).scope
    account_id = _as_sent(header) if header else query
    if not account_id:
        raise ApiError(400, "linked_account_id_missing", "name a linked account by header or query")
    if await made.tenants.linked_account(scope, account_id) is None:
        raise not_found("linked_account")
    return account_id


def _as_sent(header: str) -> str:
    """The framework reads a header as Latin-1; most who send more than ASCII send UTF-8."""
    try:
        return header.encode("latin-1").decode()
    except UnicodeDecodeError:
        return header


Reads = Annotated[Scope, Security(by_key, scopes=[KeyScope.READ])]
Connects = Annotated[Scope, Security(by_key, scopes=[KeyScope.CONNECT])]
ReadsTokens = Annotated[Scope, Security(by_key, scopes=[KeyScope.TOKENS])]
Administers = Annotated[Scope, Security(by_key, scopes=[KeyScope.ADMIN])]
AdministersAs = Annotated[Caller, Security(by_key_itself, scopes=[KeyScope.ADMIN])]
Session = Annotated[Browser, Depends(by_session)]
ConnectsOrSession = Annotated[Caller, Security(by_either, scopes=[KeyScope.CONNECT])]
ReadsOrSession = Annotated[Caller, Security(by_either, scopes=[KeyScope.READ])]
Account = Annotated[str, Depends(linked_account)]
