"""The client's part that concerns webhook endpoints: where events go."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from datetime import datetime
from typing import Any

from everlink.client.transport import Transport, segment
from everlink.contract import DeliveryStatus, EventType
from everlink.models import Delivery, DeliveryPage, NewWebhookEndpoint, Replay, SentTest, WebhookEndpoint

ENDPOINTS = "/v1/webhook-endpoints"
PAGE = 200


class WebhookEndpoints:
    """`client.webhook_endpoints`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def add(
        self,
        url: str,
        events: Iterable[EventType],
        *,
        applications: Iterable[str] | None = None,
        reminders: bool | None = None,
        headers: Mapping[str, str] | None = None,
        method: str | None = None,
        legacy_secret: str | None = None,
    ) -> NewWebhookEndpoint:
        """Send these events there. The answer has the secret that verifies them, this once.

        Of all applications, or of those that are named, and with reminders of a customer who has not reconnected yet.
        A receiver that verifies `x-cobalt-signature` already is sent that header too, keyed with `legacy_secret`.
        """
        body = _given(
            url=url,
            events=list(events),
            applications=None if applications is None else list(applications),
            reminders=reminders,
            headers=headers,
            method=method,
            legacy_secret=legacy_secret,
        )
        return await self._transport.ask("POST", ENDPOINTS, NewWebhookEndpoint, json=body)

    async def all(self) -> list[WebhookEndpoint]:
        listed = await self._transport.send("GET", ENDPOINTS)
        return [WebhookEndpoint.model_validate(item) for item in listed]

    async def get(self, endpoint_id: str) -> WebhookEndpoint:
        return await self._transport.get(_path(endpoint_id), WebhookEndpoint)

    async def change(
        self,
        endpoint_id: str,
        *,
        url: str | None = None,
        events: Iterable[EventType] | None = None,
        applications: Iterable[str] | None = None,
        reminders: bool | None = None,
        headers: Mapping[str, str] | None = None,
        method: str | None = None,
        is_enabled: bool | None = None,
        legacy_secret: str | None = None,
    ) -> WebhookEndpoint:
        """What is not given stays as it is; an empty `legacy_secret` turns that signature off.

        `is_enabled=True` also enables an endpoint that Everlink disabled.
        """
        body = _given(
            url=url,
            events=None if events is None else list(events),
            applications=None if applications is None else list(applications),
            reminders=reminders,
            headers=headers,
            method=method,
            is_enabled=is_enabled,
            legacy_secret=legacy_secret,
        )
        return await self._transport.ask("PATCH", _path(endpoint_id), WebhookEndpoint, json=body)

    async def rotate_secret(self, endpoint_id: str, *, overlap_seconds: int = 86_400) -> NewWebhookEndpoint:
        """A new secret, in this answer only; the one before signs beside it for that long."""
        body = {"overlap_seconds": overlap_seconds}
        return await self._transport.ask("POST", f"{_path(endpoint_id)}/rotate-secret", NewWebhookEndpoint, json=body)

    async def test(self, endpoint_id: str) -> str:
        """Send a test event to this endpoint; answers its id. How it fares: `client.deliveries.get`."""
        return (await self._transport.ask("POST", f"{_path(endpoint_id)}/test", SentTest)).event_id

    async def deliveries(self, endpoint_id: str, *, status: DeliveryStatus | None = None) -> AsyncIterator[Delivery]:
        """What was due at this endpoint, of the newest event first, page by page as they are asked for."""
        cursor: str | None = None
        while True:
            params = {"status": status, "limit": PAGE, "cursor": cursor}
            page = await self._transport.get(f"{_path(endpoint_id)}/deliveries", DeliveryPage, params)
            for delivery in page.deliveries:
                yield delivery
            cursor = page.next_cursor
            if cursor is None:
                return

    async def replay(
        self, endpoint_id: str, *, since: datetime | None = None, after: int = 0, missed_only: bool = True
    ) -> Replay:
        """Send it once more what it wants and has not taken, or everything. See `client.replays`.

        Args:
            since: nothing that is older.
            after: behind the event of this `position`.
            missed_only: not what was delivered.
        """
        body = {"since": since.isoformat() if since else None, "after": after, "missed_only": missed_only}
        return await self._transport.ask("POST", f"{_path(endpoint_id)}/replay", Replay, json=body)

    async def remove(self, endpoint_id: str) -> None:
        """Deliveries on their way to it stop."""
        await self._transport.send("DELETE", _path(endpoint_id))


def _given(*, legacy_secret: str | None, **values: Any) -> dict[str, Any]:
    """The body of what is given."""
    body = {name: value for name, value in values.items() if value is not None}
    if legacy_secret is not None:
        body["legacy_signature"] = {"secret": legacy_secret} if legacy_secret else None
    return body


def _path(endpoint_id: str) -> str:
    return f"{ENDPOINTS}/{segment(endpoint_id)}"
