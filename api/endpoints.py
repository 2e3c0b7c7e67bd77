"""Webhook endpoints: what they may be told to send and where, and how both faces of the API make and change them."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any
from uuid import uuid4

from pydantic import AfterValidator, Field, HttpUrl, SecretStr, StringConstraints, WithJsonSchema

from api.errors import ApiError, not_found
from api.inputs import Input
from api.services import Services
from api.starting import start_deliveries
from everlink.contract import SUBSCRIBABLE, EventType
from providers.headers import is_reserved
from providers.signature import new_secret
from store.custom_headers import seal_headers
from store.scope import Scope
from store.tables import WebhookEndpoint
from store.vault import Kind
from store.webhooks import EndpointDisabled

MAX_HEADER_BYTES = 8 * 1024
NO_FAILURES = {"disabled_reason": None, "disabled_at": None, "failing_since": None, "failed_at": None}


def _safe_headers(headers: dict[str, str]) -> dict[str, str]:
    """Headers that can neither break the request nor pass for ours."""
    for name, value in headers.items():
        if not name or not all(letter.isalnum() or letter in "-_" for letter in name) or not name.isascii():
            raise ValueError("a header's name has characters that are not allowed")
        if is_reserved(name):
            raise ValueError("one of these headers is set by Everlink alone")
        if not value.isascii() or not value.isprintable() or value != value.strip():
            raise ValueError("a header's value has characters that are not allowed")
    if len({name.lower() for name in headers}) < len(headers):
        raise ValueError("a header is given twice")
    if sum(len(name) + len(value) for name, value in headers.items()) > MAX_HEADER_BYTES:
        raise ValueError("the headers are too large together")
    return headers


SafeHeaders = Annotated[
    dict[str, str],
    Field(description="Sent with each event", examples=[{"authorization": "Bearer ..."}]),
    AfterValidator(_safe_headers),
]


def _subscribable(events: list[EventType]) -> list[EventType]:
    if not set(events) <= set(SUBSCRIBABLE):
        raise ValueError(
            "reminders come with Connection Expired, and webhooks' own events unasked: subscribe to neither"
        )
    return list(dict.fromkeys(events))


Subscriptions = Annotated[
    list[EventType],
    AfterValidator(_subscribable),
    WithJsonSchema({"type": "array", "items": {"enum": [str(event) for event in SUBSCRIBABLE]}, "minItems": 1}),
]


Applications = Annotated[
    list[Annotated[str, StringConstraints(max_length=100)]],
    Field(max_length=1000, description="Slugs: only events of these are sent; none: of all", examples=[["sandbox"]]),
    AfterValidator(lambda slugs: list(dict.fromkeys(slugs))),
]


class Method(StrEnum):
    POST = "POST"
    PUT = "PUT"


class LegacySignature(Input):
    """Also send `x-cobalt-signature`: the hex HMAC-SHA256 of the raw body, keyed with this secret.

    For receivers that verify it already. It covers neither id nor time; that of Standard Webhooks stands beside it.
    """

    secret: SecretStr = Field(min_length=16, max_length=1000, description="Yours; kept sealed, never shown")


def endpoint_disabled() -> ApiError:
    return ApiError(409, "endpoint_disabled", "the webhook endpoint is disabled: enable it first")


async def find_endpoint(made: Services, scope: Scope, endpoint_id: str) -> WebhookEndpoint:
    row = await made.webhooks.get(scope, endpoint_id)
    if row is None:
        raise not_found("webhook_endpoint")
    return row


async def add_endpoint(
    made: Services, scope: Scope, url: HttpUrl, given: dict[str, Any], legacy: LegacySignature | None = None
) -> tuple[WebhookEndpoint, str]:
    """A new endpoint, and its secret in the clear: it is answered once."""
    await _refuse_private(made, url)
    endpoint_id, secret = f"we_{uuid4().hex}", new_secret()
    endpoint = WebhookEndpoint(
        id=endpoint_id,
        org_id=scope.org_id,
        environment=scope.environment,
        url=str(url),
        secret=await _seal_secret(made, scope, endpoint_id, secret),
        legacy_secret=await seal_legacy(made, scope, endpoint_id, legacy),
        created_at=made.clock(),
        **await _columns(made, scope, endpoint_id, given),
    )
    await made.webhooks.add(endpoint)
    return endpoint, secret


async def change_endpoint(
    made: Services, scope: Scope, endpoint_id: str, given: dict[str, Any], *, url: HttpUrl | None = None
) -> WebhookEndpoint:
    """Change what is given. What is on its way already goes where the endpoint points by then."""
    before = await find_endpoint(made, scope, endpoint_id)
    values = await _columns(made, scope, endpoint_id, given)
    if url is not None:
        await _refuse_private(made, url)
        values["url"] = str(url)
        if values["url"] != before.url:  # of the new address nothing is known
            values |= {"failing_since": None, "failed_at": None}
    if values:
        await made.webhooks.change(scope, endpoint_id, values)
    return await find_endpoint(made, scope, endpoint_id)


async def rotate_secret(
    made: Services, scope: Scope, endpoint_id: str, overlap: timedelta
) -> tuple[WebhookEndpoint, str]:
    """The endpoint with a new secret, and that in the clear: it is answered once.

    Raises:
        ApiError: 409 where another rotation came first, whose answer must not turn out to be wrong.
    """
    before, secret = await find_endpoint(made, scope, endpoint_id), new_secret()
    sealed = await _seal_secret(made, scope, endpoint_id, secret)
    until = made.clock() + overlap if overlap else None
    if not await made.webhooks.replace_secret(scope, before, sealed, until):
        await find_endpoint(made, scope, endpoint_id)
        raise ApiError(409, "secret_just_rotated", "another rotation of the secret came first")
    return await find_endpoint(made, scope, endpoint_id), secret


async def send_test(made: Services, scope: Scope, endpoint_id: str) -> str:
    """The id of a test event that is on its way to the endpoint."""
    await find_endpoint(made, scope, endpoint_id)
    try:
        announced = await made.webhooks.announce_test(scope, endpoint_id, made.clock())
    except EndpointDisabled:
        raise endpoint_disabled() from None
    await start_deliveries(made, scope, announced)
    return announced.event.id


async def _seal_secret(made: Services, scope: Scope, endpoint_id: str, secret: str) -> bytes:
    return await made.vault.seal(scope, Kind.WEBHOOK_SECRET, endpoint_id, secret.encode())


async def seal_legacy(made: Services, scope: Scope, endpoint_id: str, legacy: LegacySignature | None) -> bytes | None:
    """What the row holds of a legacy signature's secret; None: it is off."""
    if legacy is None:
        return None
    secret = legacy.secret.get_secret_value().encode()
    return await made.vault.seal(scope, Kind.LEGACY_WEBHOOK_SECRET, endpoint_id, secret)


async def remove_endpoint(made: Services, scope: Scope, endpoint_id: str) -> None:
    """Remove an endpoint. Deliveries on their way to it stop."""
    await find_endpoint(made, scope, endpoint_id)
    await made.webhooks.remove(scope, endpoint_id)


async def _columns(made: Services, scope: Scope, endpoint_id: str, given: dict[str, Any]) -> dict[str, Any]:
    """What the row holds of what is given; an endpoint that is enabled begins without a past of failures."""
    values = dict(given)
    for slug in given.get("applications", ()):
        if await made.entry(scope, slug) is None:
            raise ApiError(422, "unknown_application", "an application is in no catalog")
    if "headers" in given:
        values |= await seal_headers(made.vault, scope, endpoint_id, given["headers"])
    if given.get("is_enabled"):
        values |= NO_FAILURES
    return values


async def _refuse_private(made: Services, url: HttpUrl) -> None:
    """Tell a mistake now; each delivery checks again, since a name can come to mean another address."""
    if url.username or url.password:
        raise ApiError(422, "webhook_url_refused", "the URL must not hold a user or password")
    refusal = await made.guard.refusal((url.host or "").strip("[]"), 443 if url.port is None else url.port)
    if refusal is not None:
        raise ApiError(422, "webhook_url_refused", refusal)
