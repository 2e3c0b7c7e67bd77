"""Sending events once more: one, or all that an endpoint has missed; and how far that is."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import Field

from api.auth import Administers, Made, Reads
from api.errors import ErrorBody
from api.inputs import Input, Moment, NoStandIn
from api.replays import find_replay, replay_event, replay_events
from everlink import models

router = APIRouter(tags=["Webhooks"])

NOT_FOUND: dict[int | str, dict[str, Any]] = {404: {"model": ErrorBody}}
REFUSED: dict[int | str, dict[str, Any]] = {**NOT_FOUND, 409: {"model": ErrorBody}}

Position = Annotated[int, Field(ge=0, le=2**53 - 1), NoStandIn]  # what every language can hold


class ReplayInput(Input):
    """Where to begin: with nothing given, all events that are kept; with both, the later of the two."""

    since: Moment | None = Field(default=None, examples=["2026-01-01T00:00:00Z"], description="None that is older")
    after: Position = Field(default=0, examples=[4711], description="Behind the event of this `position`")
    missed_only: bool = Field(default=True, description="false: also what was delivered")


ALL_THAT_WAS_MISSED = ReplayInput()


@router.post("/v1/events/{event_id}/deliveries/{endpoint_id}/replay", status_code=202, responses=REFUSED)
async def replay_one(made: Made, scope: Administers, event_id: str, endpoint_id: str) -> models.Delivery:
    """Send one event to an endpoint once more, with the same `webhook-id`, also where it was never due there.

    Where it waits there for its next attempt, that is made now. Where it is on its way already, that goes on as it is,
    and the event is not sent twice.
    """
    return await replay_event(made, scope, event_id, endpoint_id)


@router.post("/v1/webhook-endpoints/{endpoint_id}/replay", status_code=202, responses=REFUSED)
async def replay_many(
    made: Made, scope: Administers, endpoint_id: str, given: ReplayInput = ALL_THAT_WAS_MISSED
) -> models.Replay:
    """Send an endpoint what it wants and has not taken: what failed, and what came while it was disabled.

    What waits for its next attempt is sent now, too, and has all of its attempts again. Each event has the
    `webhook-id` that it had. They go in order and no faster than the endpoint takes them; what comes meanwhile is sent
    as ever. It stops where the endpoint is disabled. One replay at a time: 409 `replay_under_way`.
    """
    return await replay_events(
        made, scope, endpoint_id, after=given.after, since=given.since, missed_only=given.missed_only
    )


@router.get("/v1/replays/{replay_id}", responses=NOT_FOUND)
async def get_replay(made: Made, scope: Reads, replay_id: str) -> models.Replay:
    """How far a replay is, and how what it sent fares."""
    return await find_replay(made, scope, replay_id)
