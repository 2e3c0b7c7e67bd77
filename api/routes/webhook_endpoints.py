"""`/v1/webhook-endpoints`: where events go."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import Field, HttpUrl

from api.auth import Administers, Made, Reads
from api.cursors import from_cursor, to_cursor
from api.deliveries import delivery_out
from api.endpoints import (
    Applications,
    LegacySignature,
    Method,
    SafeHeaders,
    Subscriptions,
    add_endpoint,
    change_endpoint,
    find_endpoint,
    remove_endpoint,
    rotate_secret,
    seal_legacy,
    send_test,
)
from api.errors import ErrorBody
from api.inputs import Input, NoStandIn, left_out
from everlink import models
from everlink.contract import DeliveryStatus
from providers.signature import LEGACY_HEADER
from store.tables import WebhookEndpoint

router = APIRouter(prefix="/v1/webhook-endpoints", tags=["Webhooks"])

DAY = int(timedelta(days=1).total_seconds())
MAX_PAGE = 200

GIVEN = {"events", "applications", "reminders", "headers", "method", "is_enabled"}
SHOWN = GIVEN - {"headers"} | {"id", "url", "disabled_reason", "disabled_at", "failing_since", "created_at"}
NOT_FOUND: dict[int | str, dict[str, Any]] = {404: {"model": ErrorBody}}
REMINDERS = "Whether it is reminded of a `Connection Expired` that no customer has answered, where it is sent those"


class EndpointInput(Input):
    url: HttpUrl = Field(examples=["https://product.example/hooks/everlink"])
    events: Subscriptions = Field(min_length=1, examples=[["Connection Expired"]])
    applications: Applications = []
    reminders: bool = Field(default=True, description=REMINDERS)
    headers: SafeHeaders = {}
    method: Method = Method.POST
    is_enabled: bool = True
    legacy_signature: LegacySignature | None = None


class EndpointChanges(Input):
    """What is left out stays as it is; nothing but `legacy_signature` can be null."""

    url: HttpUrl = left_out(examples=["https://product.example/hooks/everlink"])
    events: Subscriptions = left_out(min_length=1, examples=[["Connection Expired"]])
    applications: Applications = left_out()
    reminders: bool = left_out(description=REMINDERS)
    headers: SafeHeaders = left_out()
    method: Method = left_out()
    is_enabled: bool = left_out(description="true after Everlink disabled it: what was missed can be replayed")
    legacy_signature: LegacySignature | None = Field(default=None, description="null turns it off")


class SecretRotation(Input):
    overlap_seconds: Annotated[int, Field(ge=0, le=7 * DAY), NoStandIn] = Field(
        default=DAY, examples=[DAY], description="How long the secret before signs beside the new one"
    )


A_DAY_BESIDE = SecretRotation()


@router.post("", status_code=201)
async def add(made: Made, scope: Administers, given: EndpointInput) -> models.NewWebhookEndpoint:
    """Send these events to a public address. Its secret is in this answer only."""
    values = given.model_dump(include=GIVEN, mode="json")
    row, secret = await add_endpoint(made, scope, given.url, values, given.legacy_signature)
    return models.NewWebhookEndpoint(**_out(made, row).model_dump(), secret=secret)


@router.get("")
async def list_endpoints(made: Made, scope: Reads) -> list[models.WebhookEndpoint]:
    """Where events go, without the secrets."""
    return [_out(made, row) for row in await made.webhooks.endpoints(scope)]


@router.get("/{endpoint_id}", responses=NOT_FOUND)
async def get_endpoint(made: Made, scope: Reads, endpoint_id: str) -> models.WebhookEndpoint:
    """One endpoint, without its secrets."""
    return _out(made, await find_endpoint(made, scope, endpoint_id))


@router.patch("/{endpoint_id}", responses=NOT_FOUND)
async def change(made: Made, scope: Administers, endpoint_id: str, changes: EndpointChanges) -> models.WebhookEndpoint:
    """Change an endpoint. Deliveries on their way to it go where, and how, it says by then."""
    values = changes.model_dump(include=GIVEN, exclude_unset=True, mode="json")
    if "legacy_signature" in changes.model_fields_set:
        values["legacy_secret"] = await seal_legacy(made, scope, endpoint_id, changes.legacy_signature)
    return _out(made, await change_endpoint(made, scope, endpoint_id, values, url=changes.url))


@router.delete("/{endpoint_id}", status_code=204, responses=NOT_FOUND)
async def remove(made: Made, scope: Administers, endpoint_id: str) -> None:
    """Remove an endpoint. Deliveries on their way to it stop, and what is kept of the others goes with it."""
    await remove_endpoint(made, scope, endpoint_id)


@router.post("/{endpoint_id}/rotate-secret", responses={**NOT_FOUND, 409: {"model": ErrorBody}})
async def rotate(
    made: Made, scope: Administers, endpoint_id: str, response: Response, given: SecretRotation = A_DAY_BESIDE
) -> models.NewWebhookEndpoint:
    """A new secret, which is in this answer only. Until the overlap has passed, the one before signs beside it.

    Never more than two sign: rotated once more within the overlap, the secret that was replaced first signs no longer.
    Of two rotations at the same moment one is a 409, `secret_just_rotated`, and changes nothing.
    """
    row, secret = await rotate_secret(made, scope, endpoint_id, timedelta(seconds=given.overlap_seconds))
    response.headers["cache-control"] = "no-store"
    return models.NewWebhookEndpoint(**_out(made, row).model_dump(), secret=secret)


@router.post("/{endpoint_id}/test", status_code=202, responses={**NOT_FOUND, 409: {"model": ErrorBody}})
async def test(made: Made, scope: Administers, endpoint_id: str) -> models.SentTest:
    """Send a `Webhook Test` to this endpoint, whatever it subscribes to, and to no other.

    How it fares: `GET /v1/events/{event_id}/deliveries/{endpoint_id}`. 409 `endpoint_disabled` where it is disabled.
    """
    return models.SentTest(event_id=await send_test(made, scope, endpoint_id))


@router.get(
    "/{endpoint_id}/deliveries",
    responses={**NOT_FOUND, 422: {"model": ErrorBody, "description": "`invalid_cursor`, or not valid"}},
)
async def list_deliveries(
    made: Made,
    scope: Reads,
    endpoint_id: str,
    status: Annotated[DeliveryStatus | None, Query()] = None,
    cursor: Annotated[str | None, Query(max_length=200, description="`next_cursor` of the page before")] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 50,
) -> models.DeliveryPage:
    """What was due at this endpoint and how it fared, of the newest event first."""
    await find_endpoint(made, scope, endpoint_id)
    name = f"deliveries/{endpoint_id}"
    position = await from_cursor(made, scope, name, cursor)
    before = None if position is None else int(position)
    found = await made.delivery_log.of_endpoint(scope, endpoint_id, status, before=before, limit=limit + 1)
    page = [delivery_out(logged) for logged in found[:limit]]
    more = await to_cursor(made, scope, name, str(page[-1].position)) if len(found) > limit else None
    return models.DeliveryPage(deliveries=page, next_cursor=more)


def _out(made: Made, row: WebhookEndpoint) -> models.WebhookEndpoint:
    until = row.previous_secret_until
    return models.WebhookEndpoint(
        **row.model_dump(include=SHOWN),
        header_names=sorted(row.headers) or row.header_names,
        previous_secret_until=until if until is not None and until > made.clock() else None,
        legacy_signature=None if row.legacy_secret is None else models.LegacySignature(header=LEGACY_HEADER),
    )
