"""What the API answers about its catalog."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

from everlink.contract import AuthType
from everlink.models import NEXT

DEFINITION: dict[str, Any] = {
    "name": "Billing",
    "description": "Our billing service",
    "auth_type": "keybased",
    "fields": [{"name": "api_key", "label": "API key"}],
    "probe": {"url": "https://billing.example/me", "headers": {"Authorization": "Bearer {api_key}"}},
    "identity": {"id": "probe.account_id"},
}


class CatalogField(BaseModel):
    """Something that the customer types in."""

    name: str = Field(examples=["api_key"])
    label: str = Field(examples=["API key"])
    type: Literal["text", "password", "select"]
    required: bool
    placeholder: str
    options: list[str]
    pattern: str | None = Field(description="What all of a value must match")
    help_text: str


class CatalogItem(BaseModel):
    """An application that can be enabled."""

    slug: str = Field(examples=["slack"])
    name: str = Field(examples=["Slack"])
    description: str
    icon: str
    tags: list[str] = Field(examples=[["Communication"]])
    auth_type: AuthType = Field(examples=["oauth2"])
    auth_kind: Literal["authorization_code", "client_credentials", "key"]
    fields: list[CatalogField] = Field(description="Asked of the customer, before consent where there is one")
    lifetimes: list[str] = Field(examples=[["an access token lives for 12 hours"]])
    own: bool = Field(description="Whether it is the organization's own")
    enabled: bool


class CatalogPage(BaseModel):
    applications: list[CatalogItem]
    next_cursor: str | None = Field(description=NEXT)


class CatalogDefinition(BaseModel):
    """One application with all that is known of it."""

    slug: str = Field(examples=["own-billing"])
    own: bool = Field(examples=[True])
    enabled: bool = Field(examples=[False])
    definition: dict[str, Any] = Field(examples=[DEFINITION], description="What `PUT /v1/catalog/{slug}` takes")


class CatalogDraft(BaseModel):
    """What a server says of itself, as far as an application needs it."""

    definition: dict[str, Any] = Field(
        examples=[{**DEFINITION, "name": "login.example"}], description="What `PUT /v1/catalog/{slug}` takes"
    )
    notes: list[str] = Field(
        examples=[["name the application and describe it"]], description="What remains to be said by you"
    )
