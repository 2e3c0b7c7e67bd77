"""The client's part that concerns events: what webhooks announce, read in order."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from datetime import datetime

from everlink.client.transport import Transport, segment
from everlink.contract import EventType
from everlink.models import Delivery, Event, EventPage

EVENTS = "/v1/events"
PAGE = 200


class Events:
    """`client.events`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def page(
        self,
        *,
        after: str | None = None,
        since: datetime | None = None,
        types: Iterable[EventType] = (),
        application: str | None = None,
        connection_id: str | None = None,
        linked_account_id: str | None = None,
        limit: int = PAGE,
    ) -> EventPage:
        """Events behind the cursor `after`, oldest first; from the first that is kept without one.

        Keep the page's `next_cursor` once its events are dealt with, and ask with it again: at once where there
        `has_more`, else whenever you like.
        """
        params = {
            "after": after,
            "since": since.isoformat() if since else None,
            "type": list(types),
            "application": application,
            "connection_id": connection_id,
            "linked_account_id": linked_account_id,
            "limit": limit,
        }
        return await self._transport.get(EVENTS, EventPage, params)

    async def all(
        self,
        *,
        since: datetime | None = None,
        types: Iterable[EventType] = (),
        application: str | None = None,
        connection_id: str | None = None,
        linked_account_id: str | None = None,
    ) -> AsyncIterator[Event]:
        """All that there is now and matches, page by page as it is asked for."""
        types, after, has_more = list(types), None, True
        while has_more:
            page = await self.page(
                after=after,
                since=since,
                types=types,
                application=application,
                connection_id=connection_id,
                linked_account_id=linked_account_id,
            )
            for event in page.events:
                yield event
            after, has_more = page.next_cursor, page.has_more

    async def get(self, event_id: str) -> Event:
        return await self._transport.get(_path(event_id), Event)

    async def replay(self, event_id: str, endpoint_id: str) -> Delivery:
        """Send it to an endpoint once more, now, also where it was never due; not twice where it is on its way."""
        path = _path(event_id, "deliveries", segment(endpoint_id), "replay")
        return await self._transport.ask("POST", path, Delivery)


def _path(event_id: str, *parts: str) -> str:
    return "/".join((EVENTS, segment(event_id), *parts))
