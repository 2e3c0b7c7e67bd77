"""The catalog as one organization has it: everybody's entries and its own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

from api.errors import ApiError
from api.services import Services
from everlink.catalog import CatalogDefinition, CatalogField, CatalogItem
from providers.addresses import addresses, refusal
from providers.catalog import OWN, own_entry
from providers.entry import CatalogEntry, Definition
from providers.icons import letter
from providers.words import lifetimes
from store.scope import Scope

MAX_BYTES = 32_768  # of a definition


async def entries(made: Services, scope: Scope) -> Iterator[CatalogEntry]:
    """All that the organization can enable, in the order of their slugs."""
    own = await made.own_applications.all(scope)
    mine = [entry for slug, definition in own.items() if (entry := own_entry(slug, definition)) is not None]
    return iter(sorted([*made.catalog, *mine], key=lambda entry: entry.slug))


async def enabled_slugs(made: Services, scope: Scope) -> set[str]:
    return {row.slug for row in await made.tenants.applications(scope)}


def to_definition(given: Definition) -> dict[str, Any]:
    """What is kept of an application of one's own, and what is shown of any: what was said of it.

    Raises:
        ApiError: 413 where it is too much.
    """
    drawn = {"icon"} if given.icon == letter(given.name) else set()
    definition = given.model_dump(mode="json", exclude={"slug", *drawn}, exclude_unset=True)
    if len(json.dumps(definition).encode()) > MAX_BYTES:
        raise ApiError(413, "body_too_large", "a definition has 32 KB at most")
    return definition


async def refuse_addresses(made: Services, given: Definition) -> None:
    """Tell a mistake now; each request checks again, since a name can come to mean another address.

    Raises:
        ApiError: 422 `catalog_url_refused`, with each address that may not be used, and why.
    """
    found = list(addresses(given))
    words = await asyncio.gather(*(refusal(made.guard, url) for _, url in found))
    details = [
        {"loc": ["body", *place], "type": "url_refused", "msg": why}
        for (place, _), why in zip(found, words, strict=True)
        if why is not None
    ]
    if details:
        raise ApiError(422, "catalog_url_refused", "addresses have to be public, and https://", details=details)


def item(entry: CatalogEntry, *, enabled: bool) -> CatalogItem:
    return CatalogItem(
        slug=entry.slug,
        name=entry.name,
        description=entry.description,
        icon=entry.icon,
        tags=list(entry.tags),
        auth_type=entry.auth_type,
        auth_kind=entry.oauth2.grant if entry.oauth2 is not None else "key",
        fields=[CatalogField.model_validate(field.model_dump()) for field in entry.fields],
        lifetimes=lifetimes(entry),
        own=entry.slug.startswith(OWN),
        enabled=enabled,
    )


def whole(entry: CatalogEntry, *, enabled: bool) -> CatalogDefinition:
    own = entry.slug.startswith(OWN)
    return CatalogDefinition(slug=entry.slug, own=own, enabled=enabled, definition=to_definition(entry))
