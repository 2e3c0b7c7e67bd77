"""`/v1/settings`: what an organization decides for one of its environments."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, Field

from api.auth import Administers, Made, Reads
from api.cors import Origin
from api.inputs import Input

router = APIRouter(prefix="/v1/settings", tags=["Settings"])

MAX_ORIGINS = 50
EXAMPLE = ["https://app.acme.example", "http://localhost:3000"]


class SettingsInput(Input):
    allowed_origins: Annotated[list[Origin], Field(max_length=MAX_ORIGINS, examples=[EXAMPLE])]


class SettingsOut(BaseModel):
    allowed_origins: list[str] = Field(
        examples=[EXAMPLE], description="Whose pages may use session tokens. While it is empty, the pages of any origin"
    )


@router.get("")
async def get_settings(made: Made, scope: Reads) -> SettingsOut:
    """The settings of the key's environment."""
    return SettingsOut(allowed_origins=await made.tenants.allowed_origins(scope))


@router.put("")
async def put_settings(made: Made, scope: Administers, given: SettingsInput) -> SettingsOut:
    """Name the origins whose pages may use session tokens; it takes effect with the next request."""
    await made.tenants.allow_origins(scope, list(dict.fromkeys(given.allowed_origins)))
    return await get_settings(made, scope)
