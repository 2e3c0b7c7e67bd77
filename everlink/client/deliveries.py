"""The client's part that concerns deliveries: how events fared at webhook endpoints."""

from __future__ import annotations

from everlink.client.transport import Transport, segment
from everlink.models import Delivery, DeliveryDetails


class Deliveries:
    """`client.deliveries`. Those of one endpoint: `client.webhook_endpoints.deliveries`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def of_event(self, event_id: str) -> list[Delivery]:
        """One event at each endpoint that it is due at."""
        listed = await self._transport.send("GET", _path(event_id))
        return [Delivery.model_validate(item) for item in listed]

    async def get(self, event_id: str, endpoint_id: str) -> DeliveryDetails:
        """One delivery with its attempts: what was sent, and what was answered."""
        return await self._transport.get(_path(event_id, endpoint_id), DeliveryDetails)


def _path(event_id: str, *parts: str) -> str:
    return "/".join(("/v1/events", segment(event_id), "deliveries", *map(segment, parts)))
