"""`/api/v2/public/application`: applications as one linked account sees them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from api.auth import Account, Made, Reads
from api.errors import ErrorBody
from api.routes.seed.lookups import application_seen, application_views
from api.routes.seed.views import ApplicationView

router = APIRouter(
    prefix="/api/v2/public/application",
    tags=["Seed API"],
    responses={400: {"model": ErrorBody}, 404: {"model": ErrorBody}},
)


@router.get("")
async def list_applications(
    made: Made,
    scope: Reads,
    account_id: Account,
    slug: Annotated[str | None, Query(examples=["slack"])] = None,
    tags: Annotated[
        list[str] | None,
        Query(description="By commas or repeated, in any case: applications that have at least one of them"),
    ] = None,
    ecosystem: Annotated[str | None, Query(description="In any case")] = None,
    auth_type: Annotated[str | None, Query(examples=["oauth2"])] = None,
) -> list[ApplicationView]:
    """The organization's applications, with what this linked account has connected and what needs a reconnect.

    All filters that are given must hold. `reauth_required` is true while any of an application's accounts has to
    reconnect; which one, its `status` in `connected_accounts` tells (`expired`). One that the organization deleted is
    listed to whom had it connected, without an `app_id`.
    """
    wanted = {tag.strip().casefold() for given in tags or () for tag in given.split(",")} - {""}
    return [
        view
        for view in await application_views(made, scope, account_id)
        if (not slug or slug == view.slug)
        and (not wanted or wanted & {tag.casefold() for tag in view.tags})
        and (not ecosystem or ecosystem.casefold() == (view.ecosystem or "").casefold())
        and (not auth_type or auth_type == view.auth_type)
    ]


@router.get("/{slug}")
async def get_application(made: Made, scope: Reads, account_id: Account, slug: str) -> ApplicationView:
    """One application, as this linked account sees it."""
    return await application_seen(made, scope, account_id, slug)
