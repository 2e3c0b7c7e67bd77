"""`/v1/events/{event_id}/deliveries`: how one event fared at the webhook endpoints."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response

from api.auth import Administers, Made, Reads
from api.deliveries import attempt_out, delivery_out
from api.errors import ErrorBody, not_found
from everlink import models

router = APIRouter(prefix="/v1/events/{event_id}/deliveries", tags=["Webhooks"])

NOT_FOUND: dict[int | str, dict[str, Any]] = {404: {"model": ErrorBody}}


@router.get("", responses=NOT_FOUND)
async def list_deliveries(made: Made, scope: Reads, event_id: str) -> list[models.Delivery]:
    """One event at each endpoint that it is due at, whatever became of it there."""
    found = await made.delivery_log.of_event(scope, event_id)
    if found is None:
        raise not_found("event")
    return [delivery_out(logged) for logged in found]


@router.get("/{endpoint_id}", responses=NOT_FOUND)
async def get_delivery(
    made: Made, scope: Administers, event_id: str, endpoint_id: str, response: Response
) -> models.DeliveryDetails:
    """One delivery with its attempts: what was sent, and what was answered.

    A receiver may have sent back what is secret, which is why reading this takes `admin`.
    """
    logged = await made.delivery_log.one(scope, event_id, endpoint_id)
    if logged is None:
        raise not_found("delivery")
    rows = await made.delivery_log.attempts(scope, event_id, endpoint_id)
    response.headers["cache-control"] = "no-store"
    return models.DeliveryDetails(
        delivery=delivery_out(logged),
        body=logged.body,
        attempts=[await attempt_out(made, scope, row) for row in rows],
    )
