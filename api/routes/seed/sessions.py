"""Session tokens: made by the product's server, used by its customer's browser."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Query, Request, Response
from pydantic import BaseModel, BeforeValidator, Field, SecretStr

from api.auth import Connects, Made, Session
from api.cors import check_origin, for_browsers
from api.errors import ApiError, ErrorBody, not_found
from api.idempotency import claim
from api.inputs import Input, plain
from api.routes.seed.lookups import account_seen
from api.routes.seed.views import AccountView
from everlink import models
from store.connect_sessions import Wishes
from store.sessions import TokenPair

router = APIRouter(tags=["Session tokens"], responses={403: {"model": ErrorBody}})

MAX_CONNECT_BODY = 16_384
NOTHING: dict[str, Any] = {}

AnyObject = Annotated[dict[str, Any], BeforeValidator(plain), Body(examples=[{"theme": "dark"}])]


class SessionRequest(Input):
    linked_account_id: str = Field(min_length=1, max_length=255, examples=["acme"])


class RefreshRequest(Input):
    refresh_token: SecretStr = Field(max_length=255, examples=["sr_..."])


class HostedUrl(BaseModel):
    hosted_url: str = Field(examples=["https://everlink.product.example/connect/..."])


class Revoked(BaseModel):
    success: bool = True
    revoked_count: int


@router.post("/api/v2/public/session-token", responses={400: {"model": ErrorBody}})
async def create_session_token(
    made: Made,
    scope: Connects,
    response: Response,
    given: SessionRequest,
    force_refresh: Annotated[bool, Query(description="Make a new token; those that live stay good")] = False,
) -> models.SessionToken:
    """A token with which a browser acts for one linked account.

    A token that lives for a quarter of an hour more is given again, unless `force_refresh` asks for a new one.
    """
    if await made.tenants.linked_account(scope, given.linked_account_id) is None:
        raise ApiError(400, "INVALID_LINKED_ACCOUNT_ID", "there is no such linked account")
    now = made.clock()
    pair = await made.sessions.issue(scope, given.linked_account_id, now, anew=force_refresh)
    return _answer(response, pair, now)


@router.post("/api/v2/public/session-token/revoke")
async def revoke_session_tokens(made: Made, session: Session) -> Revoked:
    """End every session of the token's linked account, this one too."""
    return Revoked(revoked_count=await made.sessions.revoke(session.scope, session.linked_account_id, made.clock()))


@router.get("/api/v2/public/session/active-linked-account", responses={404: {"model": ErrorBody}})
async def active_linked_account(made: Made, session: Session) -> AccountView:
    """The linked account that the token stands for."""
    account = await made.tenants.linked_account(session.scope, session.linked_account_id)
    if account is None:
        raise not_found("linked_account")
    return await account_seen(made, session.scope, account)


@router.post(
    "/v1/session-tokens/refresh",
    dependencies=[Depends(for_browsers)],
    responses={status: {"model": ErrorBody} for status in (401, 403)},
)
async def refresh_session_token(
    request: Request, made: Made, response: Response, given: RefreshRequest
) -> models.SessionToken:
    """A new pair for a refresh token, which is good once; the old pair ends.

    Shown a second time, a refresh token ends every pair that came of it. However often it is renewed, a session ends
    a day after the product's server made it.
    """
    now = made.clock()
    session = await made.sessions.of_refresh_token(given.refresh_token.get_secret_value(), now)
    pair = None
    if session is not None:
        check_origin(request, session.allowed_origins)
        await claim(request, made, session.scope, session.linked_account_id, ())
        pair = await made.sessions.renew(session, now)
    if pair is None:
        made.limits.count_failure(request)
        raise ApiError(401, "invalid_refresh_token", "the refresh token is not valid")
    return _answer(response, pair, now)


@router.post("/api/v2/public/connect-url", responses={413: {"model": ErrorBody}})
async def create_connect_url(made: Made, session: Session, body: AnyObject = NOTHING) -> HostedUrl:
    """A link to a page of ours, where the customer connects and reconnects applications.

    It opens once, within a quarter of an hour; the browser that opened it then has an hour. What is given with it is
    kept with it.
    """
    if len(json.dumps(body, ensure_ascii=False).encode()) > MAX_CONNECT_BODY:
        raise ApiError(413, "body_too_large", "the body may have 16 KB")
    wishes = Wishes(body=body)
    link = await made.connect_sessions.issue(session.scope, session.linked_account_id, wishes, made.clock())
    return HostedUrl(hosted_url=f"{made.settings.public_url}/connect/{link.secret}")


def _answer(response: Response, pair: TokenPair, now: datetime) -> models.SessionToken:
    response.headers["cache-control"] = "no-store"
    return models.SessionToken(
        token=pair.token,
        refresh_token=pair.refresh_token,
        expires_in=int((pair.expires_at - now).total_seconds()),
        refresh_expires_in=int((pair.refresh_expires_at - now).total_seconds()),
    )
