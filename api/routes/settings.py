"""`/v1/settings`: what an organization decides for one of its environments."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, Field

from api.auth import Administers, Made, Reads
from api.cors import Origin
from api.inputs import Input, NoStandIn, left_out
from store.tables import REMINDER_DAYS, TenantSettings

router = APIRouter(prefix="/v1/settings", tags=["Settings"])

MAX_ORIGINS = 50
MAX_REMINDERS = 10
YEAR = 365
ORIGINS = ["https://app.acme.example", "http://localhost:3000"]
DAYS = list(REMINDER_DAYS)

Days = Annotated[float, Field(gt=0, le=YEAR), NoStandIn]


class SettingsInput(Input):
    """What is left out stays as it is."""

    allowed_origins: list[Origin] = left_out(max_length=MAX_ORIGINS, examples=[ORIGINS])
    reminder_days: list[Days] = left_out(max_length=MAX_REMINDERS, examples=[DAYS])


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


@router.get("")
async def get_settings(made: Made, scope: Reads) -> SettingsOut:
    """The settings of the key's environment."""
    return _out(await made.tenants.settings(scope))


@router.put("")
async def put_settings(made: Made, scope: Administers, given: SettingsInput) -> SettingsOut:
    """Change what is given.

    `allowed_origins`, whose pages may use session tokens, takes effect with the next request; `reminder_days` with the
    next connection that expires.
    """
    values = given.model_dump(exclude_unset=True)
    if "allowed_origins" in values:
        values["allowed_origins"] = list(dict.fromkeys(given.allowed_origins))
    if "reminder_days" in values:
        values["reminder_days"] = sorted(set(given.reminder_days))
    return _out(await made.tenants.change_settings(scope, values))


def _out(settings: TenantSettings) -> SettingsOut:
    return SettingsOut(allowed_origins=settings.allowed_origins, reminder_days=settings.reminder_days)
