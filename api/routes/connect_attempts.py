"""`/v1/connect-attempts`: a browser's script starts a connect, and learns what came of it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from api.attempts import look
from api.auth import Browser, Made, Session
from api.connecting import reconnect_of, start_link
from api.errors import ErrorBody
from api.inputs import Input, KeyFields
from api.routes.seed.lookups import enabled, living
from api.services import Services
from everlink import models
from everlink.contract import ConnectionStatus

router = APIRouter(
    prefix="/v1/connect-attempts",
    tags=["Connect attempts"],
    responses={403: {"model": ErrorBody}, 404: {"model": ErrorBody}},
)


class AttemptInput(Input):
    application: str = Field(min_length=1, max_length=100, examples=["sandbox"])
    fields: KeyFields = Field(
        default={}, examples=[{"subdomain": "acme"}], description="What the application asks before consent"
    )
    connection_id: str | None = Field(
        default=None,
        max_length=100,
        examples=["con_5f2c..."],
        description="The connection to mend; by default the one of the application that needs its customer, if it is "
        "the only one, and otherwise the account that consents is connected",
    )


@router.post("", status_code=201, responses={status: {"model": ErrorBody} for status in (400, 409)})
async def start(made: Made, session: Session, body: AttemptInput, response: Response) -> models.AttemptLink:
    """A link for a window that takes the customer to the provider's consent page, and the id to ask what came of it."""
    _, entry = await enabled(made, session.scope, body.application)
    connection_id = body.connection_id or await _only_broken(made, session, entry.slug)
    account_id, reconnect = session.linked_account_id, None
    if connection_id:
        reconnect = await reconnect_of(made, session.scope, account_id, entry.slug, connection_id)
    response.headers["cache-control"] = "no-store"
    return await start_link(made, session.scope, account_id, entry, body.fields, reconnect)


@router.get("/{attempt_id}")
async def get_attempt(
    request: Request,
    made: Made,
    session: Session,
    attempt_id: str,
    wait: Annotated[float, Query(ge=0, le=60, description="Seconds to wait for the end of an open attempt")] = 0,
) -> models.ConnectAttempt:
    """Long poll: the attempt as soon as it is not `open` any more, or as it is when the time is over.

    One that `failed` may yet be `connected`, where the customer opens the link again while it lives. A quarter of an
    hour after its end, an attempt is forgotten.
    """
    return await look(request, made, session.scope, session.linked_account_id, attempt_id, wait)


async def _only_broken(made: Services, session: Browser, slug: str) -> str | None:
    rows = await living(made, session.scope, session.linked_account_id, slug)
    broken = [row.id for row in rows if row.status is ConnectionStatus.REAUTH_REQUIRED]
    return broken[0] if len(broken) == 1 else None
