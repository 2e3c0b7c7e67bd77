"""The client's part that concerns the catalog: what can be enabled, and applications of one's own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from everlink.catalog import CatalogDefinition, CatalogDraft, CatalogItem, CatalogPage
from everlink.client.transport import Transport, segment
from everlink.contract import AuthType

CATALOG = "/v1/catalog"


class Catalog:
    """`client.catalog`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def all(
        self, *, auth_type: AuthType | None = None, tag: str | None = None, q: str | None = None
    ) -> AsyncIterator[CatalogItem]:
        """What can be enabled, narrowed by what is given, page by page as it is asked for."""
        cursor: str | None = None
        while True:
            params = {"auth_type": auth_type, "tag": tag, "q": q, "cursor": cursor}
            page = await self._transport.get(CATALOG, CatalogPage, params)
            for application in page.applications:
                yield application
            cursor = page.next_cursor
            if cursor is None:
                return

    async def get(self, slug: str) -> CatalogDefinition:
        return await self._transport.get(_path(slug), CatalogDefinition)

    async def save(self, slug: str, definition: Mapping[str, Any]) -> CatalogDefinition:
        """Bring an application of your own, or change it; its slug begins with `own-`.

        Raises:
            EverlinkError: `invalid_request` or `catalog_url_refused`; `application_in_use` where it would connect in
                another way than what is connected.
        """
        return await self._transport.ask("PUT", _path(slug), CatalogDefinition, json=dict(definition))

    async def remove(self, slug: str) -> None:
        """Forget an application of your own, which is neither enabled nor connected any more."""
        await self._transport.send("DELETE", _path(slug))

    async def discover(self, issuer: str) -> CatalogDraft:
        """A draft of an application, from what its server says of itself: complete it, and save it."""
        return await self._transport.ask("POST", f"{CATALOG}/discover", CatalogDraft, json={"issuer": issuer})


def _path(slug: str) -> str:
    return f"{CATALOG}/{segment(slug)}"
