"""`/v1/connections`: what the seed's API lacks."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field, StrictBool

from api.auth import Connects, Made, Reads, ReadsTokens
from api.connecting import Back, Reconnect, start_link
from api.cursors import from_cursor, to_cursor
from api.deliveries import delivery_out
from api.errors import ApiError, ErrorBody, not_found
from api.etags import weak_etag
from api.inputs import Input, KeyFields, Moment, NoStandIn
from api.lifecycle import disconnect, find, force_refresh, report_event, report_rejected
from api.return_urls import MAX_LENGTH, allowed
from api.tokens import fresh_token
from api.waiting import first_of, hung_up
from everlink import models
from everlink.contract import ConnectionStatus, Health, ProviderEventKind, ReauthReason
from providers.credential import OAuthCredential
from providers.usage import carried, refusals, secret_fields
from store.connections import Standing
from store.listing import ConnectionFilter
from store.tables import Connection

router = APIRouter(prefix="/v1/connections", tags=["Connections"])

MAX_PAGE = 200
MIN_TTL = "Seconds that the token must live, or nine tenths of its whole life where that is less"

Slug = Annotated[str | None, Query(max_length=100, description="An application's slug", examples=["sandbox"])]
AccountId = Annotated[str | None, Query(max_length=255, examples=["acme"])]


class NoToken(ErrorBody):
    """Why there is no token."""

    reason: ReauthReason | None = Field(default=None, examples=["access_revoked"])
    reconnect_url: str | None = Field(
        default=None, description="For the customer's browser; good for ten minutes at least. OAuth 2 applications only"
    )


Generation = Annotated[int, Field(ge=1, le=2**31 - 1), NoStandIn]


class Report(Input):
    generation: Generation | None = Field(default=None, examples=[3], description="Of the credential that was refused")
    event: Literal["revoked", "uninstalled"] | None = Field(
        default=None, description="What the provider has told you of the grant, where it was no refusal"
    )
    occurred_at: Moment | None = Field(
        default=None, description="When the event happened, by default now; name it where the report may come late"
    )


OF_ANY_GENERATION = Report()


class ReconnectInput(Input):
    fields: KeyFields = Field(
        default={},
        examples=[{"subdomain": "acme"}],
        description="What the application asks before consent; by default what was given when it was connected",
    )
    switch_account: StrictBool = Field(
        default=False, description="Another account at the provider may take the place of the one that was connected"
    )
    return_url: str | None = Field(
        default=None,
        max_length=MAX_LENGTH,
        examples=[None],
        description="Where the customer goes then: one of the settings' `return_urls`, letter by letter",
    )


AS_BEFORE = ReconnectInput()


class Reported(BaseModel):
    accepted: bool = True


@router.get("", responses={422: {"model": ErrorBody, "description": "`invalid_cursor`, or not valid"}})
async def list_connections(
    made: Made,
    scope: Reads,
    status: Annotated[ConnectionStatus | None, Query()] = None,
    reason: Annotated[ReauthReason | None, Query()] = None,
    health: Annotated[Health | None, Query()] = None,
    application: Slug = None,
    linked_account_id: AccountId = None,
    cursor: Annotated[str | None, Query(max_length=200, description="`next_cursor` of the page before")] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 50,
) -> models.ConnectionPage:
    """Connections, narrowed by any combination of what is given, page by page in the order of their ids."""
    wanted = ConnectionFilter(
        status=status, reason=reason, health=health, slug=application, linked_account_id=linked_account_id
    )
    after = await from_cursor(made, scope, "connections", cursor)
    rows = await made.connections.page(scope, wanted, after=after, limit=limit + 1)
    more = await to_cursor(made, scope, "connections", rows[limit - 1].id) if len(rows) > limit else None
    return models.ConnectionPage(connections=[_out(made, row) for row in rows[:limit]], next_cursor=more)


@router.get("/counts")
async def count_connections(
    made: Made, scope: Reads, application: Slug = None, linked_account_id: AccountId = None
) -> models.ConnectionCounts:
    """How many connections there are of each status; a degraded one counts under its status as well."""
    wanted = ConnectionFilter(slug=application, linked_account_id=linked_account_id)
    return models.ConnectionCounts(**asdict(await made.connections.counts(scope, wanted)))


@router.get("/{connection_id}")
async def get_connection(made: Made, scope: Reads, connection_id: str) -> models.Connection:
    """One connection; the status says whether its customer has to reconnect, the reason says why."""
    return _out(made, await find(made, scope, connection_id))


@router.get("/{connection_id}/wait")
async def wait(
    request: Request,
    made: Made,
    scope: Reads,
    connection_id: str,
    status: Annotated[ConnectionStatus | None, Query(description="Wait for this status")] = None,
    after: Annotated[int | None, Query(ge=0, le=2**31 - 1, description="Wait for a higher `sequence`")] = None,
    timeout: Annotated[float, Query(ge=0, le=60, description="Seconds")] = 30,
) -> models.Connection:
    """Long poll: the connection as soon as it is as wanted, or as it is when the time is over.

    With both `status` and `after`, both are waited for; with neither, any change.
    """
    row = await find(made, scope, connection_id)
    if after is None and status is None:
        after = row.sequence

    def is_enough(standing: Standing) -> bool:
        return status in (None, standing.status) and (after is None or standing.sequence > after)

    if is_enough(Standing(row.status, row.sequence)):
        return _out(made, row)
    with made.waiting.place(connection_id, is_enough) as reached:
        await first_of(reached.wait(), hung_up(request), timeout=timeout)
    return _out(made, await find(made, scope, connection_id))


@router.get("/{connection_id}/events")
async def timeline(made: Made, scope: Reads, connection_id: str, response: Response) -> models.Timeline:
    """Everything that happened to a connection, with reasons."""
    await find(made, scope, connection_id)
    rows = await made.connections.timeline(scope, connection_id)
    response.headers["etag"] = weak_etag(f"{connection_id} {len(rows)}".encode())  # only ever added to
    return models.Timeline(as_of=made.clock(), transitions=[models.Transition(**row.model_dump()) for row in rows])


@router.get("/{connection_id}/token", response_model=models.Token, responses={409: {"model": NoToken}})
async def token(
    made: Made,
    scope: ReadsTokens,
    connection_id: str,
    min_ttl: Annotated[float, Query(ge=0, le=3600, description=MIN_TTL)] = 10,
) -> Response:
    """A fresh token. Answered from the store; refreshed through the workflow only where it must be.

    A 409 says why there is none, and has a link for the customer where that mends it.
    """
    fresh = await fresh_token(made, scope, connection_id, min_ttl)
    credential = fresh.credential
    oauth = credential if isinstance(credential, OAuthCredential) else None
    uses = carried(fresh.entry, credential)
    found = models.Token(
        connection_id=connection_id,
        access_token=oauth.access_token if oauth else None,
        token_type=oauth.token_type if oauth else None,
        fields=None if isinstance(credential, OAuthCredential) else credential.fields,
        extra=oauth.extra if oauth else {},
        expires_at=fresh.stored.expires_at,
        ends_at=fresh.stored.ends_at,
        generation=fresh.stored.generation,
        headers=uses.headers,
        query=uses.query,
        secret_fields=secret_fields(fresh.entry, credential),
        refusals=refusals(fresh.entry),
    )
    headers = {"cache-control": "no-store"}
    return Response(found.model_dump_json(), headers=headers, media_type="application/json")


@router.post("/{connection_id}/refresh", responses={409: {"model": ErrorBody}})
async def refresh_now(
    made: Made,
    scope: Connects,
    connection_id: str,
    newer_than: Annotated[
        int | None, Query(ge=0, le=2**31 - 1, description="A generation: nothing is done where there is a newer one")
    ] = None,
) -> models.Refreshed:
    """Refresh (or probe) now; the answer says what the provider said."""
    view = await force_refresh(made, scope, connection_id, newer_than)
    return models.Refreshed(
        status=view.status,
        health=view.health,
        generation=view.generation,
        expires_at=view.expires_at,
        verdict=view.last_verdict,
    )


@router.post("/{connection_id}/report", status_code=202, responses={409: {"model": ErrorBody}})
async def report(made: Made, scope: Connects, connection_id: str, body: Report = OF_ANY_GENERATION) -> Reported:
    """The provider refused the credential (a 401): it is verified before it is believed.

    With `event`, the provider itself told you that the grant is gone: that is believed at once, unless the customer
    has reconnected since `occurred_at`.
    """
    row = await find(made, scope, connection_id)
    if body.event is None:
        await report_rejected(made, row, body.generation)
    else:
        await report_event(made, row, ProviderEventKind(body.event), body.occurred_at)
    return Reported()


@router.post("/{connection_id}/reconnect", responses={status: {"model": ErrorBody} for status in (400, 409)})
async def reconnect(
    made: Made, scope: Connects, connection_id: str, body: ReconnectInput = AS_BEFORE
) -> models.ReconnectLink:
    """A link for the customer that mends this connection under its id.

    Where the customer consents with another account than before, the page refuses it, unless `switch_account` is true:
    then the connection is that account's from then on, with a new `identifier`, unless another connection has it.
    """
    row = await find(made, scope, connection_id)
    entry = await made.entry(scope, row.slug)
    if entry is None:
        raise not_found("application")
    if row.status == ConnectionStatus.DISCONNECTED:
        raise ApiError(409, "connection_disconnected", "the connection has ended")
    again = Reconnect(row.id, body.switch_account)
    back = Back(return_url=allowed(body.return_url, (await made.tenants.settings(scope)).return_urls))
    link = await start_link(made, scope, row.linked_account_id, entry, body.fields, again, back)
    return models.ReconnectLink(connect_url=link.connect_url)


@router.delete("/{connection_id}")
async def remove(
    made: Made,
    scope: Connects,
    connection_id: str,
    uninstall: Annotated[
        bool, Query(description="Uninstall the application at the customer's, with all of its grants there")
    ] = False,
) -> models.Connection:
    """Disconnect: the grant is revoked at the provider and the credential purged here. The id never lives again.

    What came of it at the provider stands in the timeline. With `uninstall`, where the provider can do that, the
    application itself goes from the customer's account, and with it what others of your customers connected there.
    """
    row = await find(made, scope, connection_id)
    entry = await made.entry(scope, row.slug)
    if uninstall and (entry is None or entry.oauth2 is None or entry.oauth2.uninstall is None):
        raise ApiError(422, "uninstall_unsupported", "this application cannot be uninstalled from here")
    if row.status != ConnectionStatus.DISCONNECTED:
        await disconnect(made, row, uninstall=uninstall)
    return _out(made, await find(made, scope, connection_id))


@router.get("/{connection_id}/deliveries")
async def deliveries(made: Made, scope: Reads, connection_id: str) -> list[models.Delivery]:
    """How the connection's events fared at the webhook endpoints."""
    await find(made, scope, connection_id)
    return [delivery_out(logged) for logged in await made.delivery_log.of_connection(scope, connection_id)]


def _out(made: Made, row: Connection) -> models.Connection:
    return models.Connection(**row.model_dump(), workflow_url=made.workflow_url(row.id))
