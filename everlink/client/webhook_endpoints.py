"""The client's part that concerns webhook endpoints: where events go."""

from __future__ import annotations

from collections.abc import Iterable

from everlink.client.transport import Transport, segment
from everlink.contract import EventType
from everlink.models import NewWebhookEndpoint, WebhookEndpoint

ENDPOINTS = "/v1/webhook-endpoints"


class WebhookEndpoints:
    """`client.webhook_endpoints`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def add(self, url: str, events: Iterable[EventType]) -> NewWebhookEndpoint:
        """Send these events there. The answer has the secret that verifies them, this once."""
        body = {"url": url, "events": list(events)}
        return await self._transport.ask("POST", ENDPOINTS, NewWebhookEndpoint, json=body)

    async def all(self) -> list[WebhookEndpoint]:
        listed = await self._transport.send("GET", ENDPOINTS)
        return [WebhookEndpoint.model_validate(item) for item in listed]

    async def change(
        self,
        endpoint_id: str,
        *,
        url: str | None = None,
        events: Iterable[EventType] | None = None,
        is_enabled: bool | None = None,
    ) -> WebhookEndpoint:
        """What is not given stays as it is."""
        given = {"url": url, "events": None if events is None else list(events), "is_enabled": is_enabled}
        body = {name: value for name, value in given.items() if value is not None}
        return await self._transport.ask("PATCH", f"{ENDPOINTS}/{segment(endpoint_id)}", WebhookEndpoint, json=body)

    async def remove(self, endpoint_id: str) -> None:
        """Deliveries on their way to it stop."""
        await self._transport.send("DELETE", f"{ENDPOINTS}/{segment(endpoint_id)}")
