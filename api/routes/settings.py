"""`/v1/settings`: what an organization decides for one of its environments."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, Field

from api.auth import Administers, Made, Reads
from api.brand import Colour, Logo
from api.cors import Origin
from api.inputs import Input, NoStandIn, left_out
from api.return_urls import ReturnUrl
from store.tables import REMINDER_DAYS, TenantSettings

router = APIRouter(prefix="/v1/settings", tags=["Settings"])

MAX_ORIGINS = 50
MAX_RETURN_URLS = 50
MAX_REMINDERS = 10
YEAR = 365
ORIGINS = ["https://app.acme.example", "http://localhost:3000"]
DAYS = list(REMINDER_DAYS)
RETURN_URLS = ["https://app.acme.example/integrations"]
COLOUR = "#2c52d6"
LOGO = "data:image/svg+xml;base64,PHN2ZyB4bWxucz0iaHR0cDovL3d3dy53My5vcmcvMjAwMC9zdmciLz4="

Days = Annotated[float, Field(gt=0, le=YEAR), NoStandIn]


class SettingsInput(Input):
    """What is left out stays as it is."""

    allowed_origins: list[Origin] = left_out(max_length=MAX_ORIGINS, examples=[ORIGINS])
    reminder_days: list[Days] = left_out(max_length=MAX_REMINDERS, examples=[DAYS])
    return_urls: list[ReturnUrl] = left_out(max_length=MAX_RETURN_URLS, examples=[RETURN_URLS])
    brand_colour: Colour | None = left_out(examples=[COLOUR])
    logo: Logo | None = left_out(examples=[LOGO])


class SettingsOut(BaseModel):
    allowed_origins: list[str] = Field(
        examples=[ORIGINS],
        description="Whose pages may use session tokens. While it is empty, the pages of any origin",
    )
    reminder_days: list[float] = Field(
        examples=[DAYS],
        description="How many days after `Connection Expired` to remind of it, while nobody has reconnected; "
        "empty: never",
    )
    return_urls: list[str] = Field(
        examples=[RETURN_URLS],
        description="Where customers may be sent back to after connecting: a `return_url` is exactly one of them",
    )
    brand_colour: str | None = Field(
        examples=[COLOUR], description="Of the pages that your customers read, as `#rrggbb`; null: ours"
    )
    logo: str | None = Field(
        examples=[LOGO],
        description="At the top of those pages: a `data:` address of a PNG, JPEG, WebP or SVG in base64, of at most "
        "32 KB; null: only your name",
    )


@router.get("")
async def get_settings(made: Made, scope: Reads) -> SettingsOut:
    """The settings of the key's environment."""
    return _out(await made.tenants.settings(scope))


@router.put("")
async def put_settings(made: Made, scope: Administers, given: SettingsInput) -> SettingsOut:
    """Change what is given.

    `allowed_origins`, whose pages may use session tokens, takes effect with the next request; `reminder_days` with the
    next connection that expires. `null` takes `brand_colour` or `logo` away.
    """
    values = given.model_dump(exclude_unset=True)
    if "allowed_origins" in values:
        values["allowed_origins"] = list(dict.fromkeys(given.allowed_origins))
    if "return_urls" in values:
        values["return_urls"] = list(dict.fromkeys(given.return_urls))
    if "reminder_days" in values:
        values["reminder_days"] = sorted(set(given.reminder_days))
    return _out(await made.tenants.change_settings(scope, values))


def _out(settings: TenantSettings) -> SettingsOut:
    return SettingsOut(**settings.model_dump(include=set(SettingsOut.model_fields)))
