"""`/v1/catalog`: what can be enabled, and the applications that an organization brings itself."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import APIRouter, Body, Query
from pydantic import BeforeValidator, Field

from api.auth import Administers, Made, Reads
from api.catalog import enabled_slugs, entries, item, refuse_addresses, to_definition, whole
from api.cursors import from_cursor, to_cursor
from api.discovery import discover
from api.errors import ApiError, ErrorBody, not_found
from api.inputs import Input, plain
from everlink.catalog import DEFINITION, CatalogDefinition, CatalogDraft, CatalogPage
from everlink.contract import AuthType
from providers.catalog import OWN
from providers.entry import CatalogEntry, Definition
from store.own_applications import StillInUse, TooMany

router = APIRouter(prefix="/v1/catalog", tags=["Catalog"])

MAX_PAGE = 200
OWN_SLUG = re.compile(rf"{OWN}[a-z0-9][a-z0-9_-]{{0,{63 - len(OWN)}}}")

Given = Annotated[Definition, BeforeValidator(plain), Body(examples=[DEFINITION])]


class Issuer(Input):
    issuer: str = Field(max_length=500, examples=["https://login.example"])


@router.get("")
async def list_catalog(
    made: Made,
    scope: Reads,
    auth_type: Annotated[AuthType | None, Query()] = None,
    tag: Annotated[str | None, Query(max_length=100, examples=["CRM"])] = None,
    q: Annotated[str | None, Query(max_length=100, description="A part of its slug, name, description or tags")] = None,
    cursor: Annotated[str | None, Query(max_length=200, description="`next_cursor` of the page before")] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 50,
) -> CatalogPage:
    """All applications that can be enabled, yours among them, page by page in the order of their slugs."""
    after = await from_cursor(made, scope, "catalog", cursor)
    found = [
        entry
        for entry in await entries(made, scope)
        if (after is None or entry.slug > after)
        and auth_type in (None, entry.auth_type)
        and (tag is None or tag.casefold() in [one.casefold() for one in entry.tags])
        and (q is None or _says(entry, q))
    ]
    enabled = await enabled_slugs(made, scope)
    more = await to_cursor(made, scope, "catalog", found[limit - 1].slug) if len(found) > limit else None
    page = [item(entry, enabled=entry.slug in enabled) for entry in found[:limit]]
    return CatalogPage(applications=page, next_cursor=more)


@router.post("/discover", responses={502: {"model": ErrorBody}})
async def discover_application(made: Made, scope: Administers, given: Issuer) -> CatalogDraft:
    """A draft of an application, from what an OAuth 2 or OpenID Connect server says of itself.

    Its metadata is looked for as RFC 8414 has it, then as OpenID Connect Discovery has it. The `issuer` in it has to be
    the very one that is asked, and its addresses public. Nothing is saved: complete the draft, and send it by `PUT`.
    """
    return await discover(made, given.issuer)


@router.get("/{slug}")
async def get_entry(made: Made, scope: Reads, slug: str) -> CatalogDefinition:
    """One application, with all that is known of it. There is no secret in it."""
    entry = await made.entry(scope, slug)
    if entry is None:
        raise not_found("application")
    return whole(entry, enabled=slug in await enabled_slugs(made, scope))


@router.put("/{slug}", responses={409: {"model": ErrorBody}})
async def save_application(made: Made, scope: Administers, slug: str, given: Given) -> CatalogDefinition:
    """Bring an application of your own, or change it: its slug begins with `own-`. Idempotent.

    It is defined like those of the catalog, and works like them, once it is enabled by `PUT /v1/applications/{slug}`.
    Put no secret into it: whoever may read sees it. A change holds from the next request to the provider on; how it
    connects (`auth_type`) cannot change while it is enabled or connected. Addresses have to be public, and https.
    """
    _require_own(slug)
    definition = to_definition(given)
    await refuse_addresses(made, given)
    try:
        await made.own_applications.save(scope, slug, definition, made.clock())
    except StillInUse as error:
        raise ApiError(409, "application_in_use", f"how it connects cannot change: {error}") from None
    except TooMany as error:
        raise ApiError(409, "too_many_applications", str(error)) from None
    entry = CatalogEntry.model_validate({**definition, "slug": slug})
    return whole(entry, enabled=slug in await enabled_slugs(made, scope))


@router.delete("/{slug}", status_code=204, responses={409: {"model": ErrorBody}})
async def remove_application(made: Made, scope: Administers, slug: str) -> None:
    """Forget an application of your own. 409 while it is enabled, or connections of it have not ended."""
    _require_own(slug)
    try:
        removed = await made.own_applications.remove(scope, slug)
    except StillInUse as error:
        raise ApiError(409, "application_in_use", str(error)) from None
    if not removed:
        raise not_found("application")


def _says(entry: CatalogEntry, words: str) -> bool:
    return any(words.casefold() in text.casefold() for text in (entry.slug, entry.name, entry.description, *entry.tags))


def _require_own(slug: str) -> None:
    if OWN_SLUG.fullmatch(slug) is None:
        words = "the slug of an application of your own is `own-`, and at most 60 of a-z, 0-9, _ and -"
        raise ApiError(422, "not_an_own_application", words)
