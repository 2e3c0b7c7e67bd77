"""`/api/v2/public/webhook`: the same endpoints as `/v1/webhook-endpoints`, under the seed's names."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, HttpUrl, WithJsonSchema

from api.auth import Administers, Made
from api.endpoints import Method, SafeHeaders, add_endpoint, change_endpoint, find_endpoint, remove_endpoint
from api.errors import ApiError, ErrorBody
from api.inputs import Input, left_out
from api.routes.seed.views import Message
from everlink.contract import SUBSCRIBABLE, EventType
from store.custom_headers import open_headers
from store.scope import Scope
from store.tables import WebhookEndpoint

router = APIRouter(
    prefix="/api/v2/public/webhook",
    tags=["Seed API"],
    responses={400: {"model": ErrorBody}, 404: {"model": ErrorBody}},
)

# Described as it is, and taken as it comes: what is not an event is refused in the seed's own words.
Events = Annotated[
    list[str],
    WithJsonSchema({"type": "array", "items": {"enum": [str(event) for event in SUBSCRIBABLE]}, "minItems": 1}),
    Field(
        description="At least one; none, or one that is unknown, is a 400 `INVALID_EVENT`",
        examples=[["Connection Expired"]],
    ),
]


class WebhookInput(Input):
    model_config = ConfigDict(json_schema_extra={"required": ["webhook_url", "webhook_events"]})

    webhook_url: HttpUrl = Field(examples=["https://product.example/hooks/everlink"])
    webhook_events: Events = []
    webhook_headers: SafeHeaders = {}
    is_enabled: bool = True
    method: Method = Method.POST


class WebhookChanges(Input):
    """What is left out stays as it is."""

    webhook_url: HttpUrl = left_out(examples=["https://product.example/hooks/everlink"])
    webhook_events: Events = left_out()
    webhook_headers: SafeHeaders = left_out()
    is_enabled: bool = left_out()
    method: Method = left_out()


class WebhookView(BaseModel):
    id: str = Field(serialization_alias="_id", examples=["we_5f2c..."])
    webhook_url: str
    webhook_events: list[str]
    webhook_headers: dict[str, str] = Field(description="With their values, which is why reading them takes `admin`")
    is_enabled: bool
    method: str


class NewWebhook(WebhookView):
    secret: str = Field(description="Shown once. Verifies the `webhook-signature` of Standard Webhooks")


@router.get("")
async def list_webhooks(made: Made, scope: Administers) -> list[WebhookView]:
    """The organization's webhooks in this environment."""
    return [await _view(made, row) for row in await made.webhooks.endpoints(scope)]


@router.post("")
async def add_webhook(made: Made, scope: Administers, given: WebhookInput) -> NewWebhook:
    """Send these events to a public address.

    Events are signed by Standard Webhooks. A receiver that verifies `x-cobalt-signature` is given it by
    `legacy_signature` of `PATCH /v1/webhook-endpoints/{id}`.
    """
    # Who was written for the seed does not know events that the seed does not have, and has not asked for them.
    values = {**_values(given), "events": _events(given.webhook_events), "reminders": False}
    row, secret = await add_endpoint(made, scope, given.webhook_url, values)
    return NewWebhook(**(await _view(made, row)).model_dump(), secret=secret)


@router.get("/{webhook_id}")
async def get_webhook(made: Made, scope: Administers, webhook_id: str) -> WebhookView:
    """One webhook."""
    return await _view(made, await find_endpoint(made, scope, webhook_id))


@router.put("/{webhook_id}")
async def change_webhook(made: Made, scope: Administers, webhook_id: str, changes: WebhookChanges) -> WebhookView:
    """Change what is given of a webhook."""
    values = _values(changes)
    if "webhook_events" in changes.model_fields_set:
        values["events"] = _events(changes.webhook_events)
    return await _view(made, await change_endpoint(made, scope, webhook_id, values, url=changes.webhook_url))


@router.delete("/{webhook_id}")
async def remove_webhook(made: Made, scope: Administers, webhook_id: str) -> Message:
    """Remove a webhook. Deliveries on their way to it stop."""
    await remove_endpoint(made, scope, webhook_id)
    return Message(message="the webhook was removed")


def _events(given: list[str]) -> list[EventType]:
    known: list[EventType] = [event for event in SUBSCRIBABLE if event in given]
    if not given or set(given) - set(known):
        raise ApiError(400, "INVALID_EVENT", "name at least one event, and only events that there are")
    return known


def _values(given: WebhookInput | WebhookChanges) -> dict[str, Any]:
    """What is given and stands in the row; what is not given has the row's own default."""
    values = given.model_dump(include={"webhook_headers", "is_enabled", "method"}, exclude_unset=True, mode="json")
    if "webhook_headers" in values:
        values["headers"] = values.pop("webhook_headers")
    return values


async def _view(made: Made, row: WebhookEndpoint) -> WebhookView:
    scope = Scope(row.org_id, row.environment)
    return WebhookView(
        id=row.id,
        webhook_url=row.url,
        webhook_events=row.events,
        webhook_headers=await open_headers(made.vault, scope, row.id, row.sealed_headers, row.headers),
        is_enabled=row.is_enabled,
        method=row.method,
    )
