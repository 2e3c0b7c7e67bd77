"""Deliveries as the API shows them."""

from __future__ import annotations

import json

from api.services import Services
from everlink import models
from store.delivery_log import LoggedDelivery
from store.scope import Scope
from store.tables import DeliveryAttempt
from store.vault import Kind


def delivery_out(logged: LoggedDelivery) -> models.Delivery:
    return models.Delivery(**logged.delivery.model_dump(), event=logged.event)


async def attempt_out(made: Services, scope: Scope, row: DeliveryAttempt) -> models.DeliveryAttempt:
    """With what was answered, opened."""
    answer = None
    if row.answer is not None:
        opened = await made.vault.open(scope, Kind.WEBHOOK_ANSWER, row.endpoint_id, row.answer)
        answer = models.AttemptAnswer(**json.loads(opened))
    return models.DeliveryAttempt(**row.model_dump(exclude={"answer"}), answer=answer)
