"""`/v1/settings`: what an organization decides for one of its environments."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from pydantic import Field

from api.auth import Administers, Made, Reads
from api.brand import Colour, Logo
from api.cors import Origin
from api.inputs import Input, NoStandIn, left_out
from api.return_urls import ReturnUrl
from everlink import models
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


@router.get("")
async def get_settings(made: Made, scope: Reads) -> models.Settings:
    """The settings of the key's environment."""
    return _out(await made.tenants.settings(scope))


@router.put("")
async def put_settings(made: Made, scope: Administers, given: SettingsInput) -> models.Settings:
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


def _out(settings: TenantSettings) -> models.Settings:
    return models.Settings(**settings.model_dump(include=set(models.Settings.model_fields)))
