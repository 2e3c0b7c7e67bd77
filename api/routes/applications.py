"""`/v1/applications`: which catalog entries an organization uses, with its own client at each provider."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, Field, SecretStr, StringConstraints

from api.auth import Administers, Made, Reads
from api.errors import not_found
from api.inputs import Input
from store.tables import Application
from store.vault import Kind

router = APIRouter(prefix="/v1/applications", tags=["Applications"])


Word = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class ApplicationInput(Input):
    client_id: Word | None = Field(default=None, max_length=500, examples=["everlink-sandbox"])
    client_secret: SecretStr | None = Field(
        default=None, min_length=1, max_length=4000, description="Kept sealed, never shown"
    )
    scopes: list[Word] | None = Field(default=None, description="In place of the catalog's")


class ApplicationOut(BaseModel):
    slug: str
    client_id: str | None
    has_client_secret: bool
    scopes: list[str]
    alarm: str | None = Field(description="The provider refuses the application itself: no customer can help")
    alarm_at: datetime | None
    redirect_uri: str = Field(description="To be registered at the provider")


@router.get("")
async def list_applications(made: Made, scope: Reads) -> list[ApplicationOut]:
    """The applications that are enabled, each with its client and what the provider holds against it."""
    return [_out(made, row) for row in await made.tenants.applications(scope)]


@router.put("/{slug}")
async def enable_application(made: Made, scope: Administers, slug: str, given: ApplicationInput) -> ApplicationOut:
    """Enable an application, or change its client."""
    if made.catalog.get(slug) is None:
        raise not_found("application")
    values: dict[str, Any] = given.model_dump(exclude_unset=True, exclude={"client_secret"})
    values = {name: value for name, value in values.items() if value is not None}
    application_id = await made.tenants.enable_application(scope, slug, values, made.clock())
    if given.client_secret is not None:
        secret = given.client_secret.get_secret_value().encode()
        sealed = await made.vault.seal(scope, Kind.CLIENT_SECRET, application_id, secret)
        await made.tenants.enable_application(scope, slug, {"client_secret": sealed}, made.clock())
    row = await made.tenants.application(scope, slug)
    if row is None:
        raise not_found("application")
    return _out(made, row)


def _out(made: Made, row: Application) -> ApplicationOut:
    return ApplicationOut(
        slug=row.slug,
        client_id=row.client_id,
        has_client_secret=row.client_secret is not None,
        scopes=row.scopes,
        alarm=row.alarm,
        alarm_at=row.alarm_at,
        redirect_uri=f"{made.settings.public_url}/api/v1/{row.slug}/callback",
    )
