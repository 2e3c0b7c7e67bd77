"""`/v1/events`: what webhooks announce, to be read in place of them or beside them."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query

from api.auth import Made, Reads
from api.cursors import from_cursor, to_cursor
from api.errors import ErrorBody, not_found
from api.inputs import Moment
from everlink import models
from everlink.contract import EventType
from store.events import EventFilter
from store.tables import Event

router = APIRouter(prefix="/v1/events", tags=["Events"])

NOT_FOUND: dict[int | str, dict[str, Any]] = {404: {"model": ErrorBody}}
MAX_PAGE = 200
LIST = "events"

Types = Annotated[
    list[EventType] | None,
    Query(alias="type", max_length=len(EventType), description="Any of these; may be given several times"),
]


@router.get("", responses={422: {"model": ErrorBody, "description": "`invalid_cursor`, or not valid"}})
async def list_events(
    made: Made,
    scope: Reads,
    types: Types = None,
    application: Annotated[str | None, Query(max_length=100, description="Its slug", examples=["sandbox"])] = None,
    connection_id: Annotated[str | None, Query(max_length=255)] = None,
    linked_account_id: Annotated[str | None, Query(max_length=255, examples=["acme"])] = None,
    since: Annotated[Moment | None, Query(description="None that is older")] = None,
    after: Annotated[str | None, Query(max_length=200, description="`next_cursor` of the page before")] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 50,
) -> models.EventPage:
    """Events, oldest first, in the order in which they came to be; those of one connection by their `sequence`.

    Every page has a `next_cursor`, the last as well: keep it, and ask with it again, a second or a month later. What
    came meanwhile follows, and nothing is left out. A cursor is good for as long as the environment is, with any
    filters. `has_more` says whether to ask again at once.
    """
    wanted = EventFilter(
        types=types or (),
        slug=application,
        connection_id=connection_id,
        linked_account_id=linked_account_id,
        since=since,
    )
    position = int(await from_cursor(made, scope, LIST, after) or 0)
    page = await made.events.page(scope, wanted, after=position, limit=limit)
    return models.EventPage(
        events=[_out(row) for row in page.events],
        next_cursor=await to_cursor(made, scope, LIST, str(page.position)),
        has_more=page.has_more,
    )


@router.get("/{event_id}", responses=NOT_FOUND)
async def get_event(made: Made, scope: Reads, event_id: str) -> models.Event:
    """One event, with the body that webhook endpoints are sent."""
    row = await made.events.get(scope, event_id)
    if row is None:
        raise not_found("event")
    return _out(row)


def _out(row: Event) -> models.Event:
    return models.Event(**row.model_dump())
