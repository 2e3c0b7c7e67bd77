"""`/v1/webhook-endpoints`: where events go."""

from __future__ import annotations

from typing import Annotated
from uuid import uuid4

import httpcore
from fastapi import APIRouter
from pydantic import AfterValidator, BaseModel, Field, HttpUrl

from api.auth import Administers, Made, Reads
from api.errors import ApiError, not_found
from api.inputs import Input
from api.services import Services
from everlink.contract import EventType
from providers.guard import TargetRefused
from providers.signature import new_secret
from store.tables import WebhookEndpoint
from store.vault import Kind

router = APIRouter(prefix="/v1/webhook-endpoints", tags=["Webhooks"])

RESERVED_HEADERS = {
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
}


def _safe_headers(headers: dict[str, str]) -> dict[str, str]:
    """Headers that can neither break the request nor pass for ours."""
    for name, value in headers.items():
        if not name or not all(letter.isalnum() or letter in "-_" for letter in name) or not name.isascii():
            raise ValueError("a header's name has characters that are not allowed")
        if name.lower().startswith("webhook-") or name.lower() in RESERVED_HEADERS:
            raise ValueError("this header cannot be replaced")
        if not value.isascii() or not value.isprintable() or value != value.strip():
            raise ValueError("a header's value has characters that are not allowed")
    if len({name.lower() for name in headers}) < len(headers):
        raise ValueError("a header is given twice")
    return headers


class EndpointInput(Input):
    url: HttpUrl = Field(examples=["https://product.example/hooks/everlink"])
    events: list[EventType] = Field(min_length=1, examples=[["Connection Expired"]])
    headers: Annotated[dict[str, str], AfterValidator(_safe_headers)] = {}


class EndpointOut(BaseModel):
    id: str
    url: str
    events: list[str]
    is_enabled: bool


class NewEndpoint(EndpointOut):
    secret: str = Field(description="Shown once. Verifies the `webhook-signature` of Standard Webhooks")


@router.post("", status_code=201)
async def add_endpoint(made: Made, scope: Administers, given: EndpointInput) -> NewEndpoint:
    """Send these events to a public address. Its secret is in this answer only."""
    await _refuse_private(made, given.url)
    endpoint_id, secret = f"we_{uuid4().hex}", new_secret()
    endpoint = WebhookEndpoint(
        id=endpoint_id,
        org_id=scope.org_id,
        environment=scope.environment,
        url=str(given.url),
        events=[str(event) for event in given.events],
        headers=given.headers,
        secret=await made.vault.seal(scope, Kind.WEBHOOK_SECRET, endpoint_id, secret.encode()),
        created_at=made.clock(),
    )
    await made.webhooks.add(endpoint)
    return NewEndpoint(**_out(endpoint).model_dump(), secret=secret)


@router.get("")
async def list_endpoints(made: Made, scope: Reads) -> list[EndpointOut]:
    """Where events go, without the secrets."""
    return [_out(row) for row in await made.webhooks.endpoints(scope)]


@router.delete("/{endpoint_id}", status_code=204)
async def remove_endpoint(made: Made, scope: Administers, endpoint_id: str) -> None:
    """Remove an endpoint. Deliveries on their way to it stop."""
    if await made.webhooks.get(scope, endpoint_id) is None:
        raise not_found("webhook_endpoint")
    await made.webhooks.remove(scope, endpoint_id)


async def _refuse_private(made: Services, url: HttpUrl) -> None:
    """Tell a mistake now; each delivery checks again, since a name can come to mean another address."""
    if url.username or url.password:
        raise ApiError(422, "webhook_url_refused", "the URL must not hold a user or password")
    try:
        await made.guard.address_of(url.host or "", 443 if url.port is None else url.port)
    except TargetRefused as refused:
        raise ApiError(422, "webhook_url_refused", str(refused)) from None
    except httpcore.ConnectError:
        raise ApiError(422, "webhook_url_refused", "the name does not resolve") from None


def _out(row: WebhookEndpoint) -> EndpointOut:
    return EndpointOut(id=row.id, url=row.url, events=row.events, is_enabled=row.is_enabled)
