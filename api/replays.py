"""Begins replays: written down first, then started; upkeep starts what could not be started now."""

from __future__ import annotations

from datetime import datetime

from api.deliveries import delivery_out
from api.endpoints import endpoint_disabled, find_endpoint
from api.errors import ApiError, not_found
from api.services import Services
from api.starting import start_or_leave
from everlink import models
from everlink.contract import DeliveryStatus, EventType, Workflow
from store.delivery_log import LoggedDelivery
from store.replays import ReplayUnderWay
from store.scope import Scope
from store.starting import delivery_start_options, replay_start_options
from store.strays import ScheduledDelivery, delivery_task
from store.webhooks import EndpointDisabled


async def replay_event(made: Services, scope: Scope, event_id: str, endpoint_id: str) -> models.Delivery:
    """Send one event to an endpoint once more, unless it is on its way there.

    Raises:
        ApiError: 404 where one of them is not there, 409 `endpoint_disabled`.
    """
    await find_endpoint(made, scope, endpoint_id)
    event = await made.events.get(scope, event_id)
    if event is None:
        raise not_found("event")
    try:
        row = await made.replays.one(scope, event_id, endpoint_id, made.clock())
    except EndpointDisabled:
        raise endpoint_disabled() from None
    if row is None:  # one of them has gone at this very moment
        raise not_found("event")
    account = event.body.get("linked_account_id")
    delivery = ScheduledDelivery(delivery_task(row), event.type, event.slug, account)
    await start_or_leave(made, Workflow.DELIVERY, delivery_start_options(delivery))
    return delivery_out(LoggedDelivery(row, EventType(event.type), event.body))


async def replay_events(
    made: Services, scope: Scope, endpoint_id: str, *, after: int, since: datetime | None, missed_only: bool
) -> models.Replay:
    """Begin to send an endpoint what it has missed, or everything, once more.

    Raises:
        ApiError: 404 where there is no such endpoint, 409 `endpoint_disabled` or `replay_under_way`.
    """
    try:
        replay = await made.replays.begin(
            scope, endpoint_id, made.clock(), after=after, since=since, missed_only=missed_only
        )
    except EndpointDisabled:
        raise endpoint_disabled() from None
    except ReplayUnderWay:
        raise ApiError(409, "replay_under_way", "the endpoint has a replay that has not finished") from None
    if replay is None:
        raise not_found("webhook_endpoint")
    await start_or_leave(made, Workflow.REPLAY, replay_start_options(replay))
    return await find_replay(made, scope, replay.id)


async def find_replay(made: Services, scope: Scope, replay_id: str) -> models.Replay:
    """How far a replay is.

    Raises:
        ApiError: 404 where there is none of this id.
    """
    found = await made.replays.get(scope, replay_id)
    if found is None:
        raise not_found("replay")
    replay, counts = found
    return models.Replay(
        **replay.model_dump(),
        after=replay.after_position,
        until=replay.until_position,
        **{status.value: counts[status] for status in DeliveryStatus},
    )
