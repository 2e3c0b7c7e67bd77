"""`/v1/connect-sessions`: links to the page where a customer connects and reconnects."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Response
from pydantic import Field, StringConstraints

from api.auth import Connects, Made
from api.errors import ApiError, ErrorBody, not_found
from api.inputs import Input
from api.return_urls import MAX_LENGTH, allowed
from api.routes.seed.lookups import enabled
from everlink import models
from store.connect_sessions import Wishes

router = APIRouter(prefix="/v1/connect-sessions", tags=["Connect sessions"])

MAX_APPLICATIONS = 100

Slug = Annotated[str, StringConstraints(min_length=1, max_length=100)]
Locale = Annotated[str, StringConstraints(max_length=35, pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$")]


class ConnectSessionInput(Input):
    """Whose page it is, what it shows, and where it leads."""

    linked_account_id: str = Field(min_length=1, max_length=255, examples=["acme"])
    applications: list[Slug] = Field(
        default=[], max_length=MAX_APPLICATIONS, examples=[["sandbox"]], description="What it shows; empty: everything"
    )
    return_url: str | None = Field(
        default=None,
        max_length=MAX_LENGTH,
        examples=[None],
        description="Where the customer goes in the end: one of the settings' `return_urls`, letter by letter",
    )
    embed_origin: str | None = Field(
        default=None,
        max_length=255,
        examples=[None],
        description="The origin of the page that frames it: one of the settings' `allowed_origins`",
    )
    locale: Locale | None = Field(
        default=None, examples=["de"], description="Its language; null, or one that is not there: as the browser asks"
    )


@router.post("", status_code=201, responses={404: {"model": ErrorBody}})
async def create_connect_session(
    made: Made, scope: Connects, response: Response, given: ConnectSessionInput
) -> models.ConnectSession:
    """A link to the page where a customer connects and reconnects.

    It opens once, within a quarter of an hour; the browser that opened it then has an hour. After connecting, the
    customer goes to `return_url`, with `status=connected`, `application` and `connection_id` in its query, unless
    something else on the page still needs them.
    """
    settings = await made.tenants.settings(scope)
    return_url = allowed(given.return_url, settings.return_urls)
    if given.embed_origin is not None and given.embed_origin not in settings.allowed_origins:
        words = "this origin is not one of the settings' `allowed_origins`"
        raise ApiError(422, "embed_origin_not_allowed", words)
    if await made.tenants.linked_account(scope, given.linked_account_id) is None:
        raise not_found("linked_account")
    for slug in given.applications:
        await enabled(made, scope, slug)
    wishes = Wishes(tuple(given.applications), return_url, given.embed_origin, given.locale)
    link = await made.connect_sessions.issue(scope, given.linked_account_id, wishes, made.clock())
    response.headers["cache-control"] = "no-store"
    url = f"{made.settings.public_url}/connect/{link.secret}"
    return models.ConnectSession(id=link.id, session=link.secret, url=url, expires_at=link.expires_at)
