"""A credential in the clear. It lives in memory only as long as a request needs it, and never prints itself."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class OAuthCredential(BaseModel):
    """What a token endpoint granted; `extra` keeps what else it said (`instance_url`, ...)."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    access_token: str = Field(repr=False)
    refresh_token: str | None = Field(default=None, repr=False)
    token_type: str = "Bearer"
    scope: str | None = None
    extra: dict[str, Any] = Field(default_factory=dict, repr=False)


class KeyCredential(BaseModel):
    """The fields that a customer typed in."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    fields: dict[str, str] = Field(repr=False)


Credential = OAuthCredential | KeyCredential


def to_bytes(credential: Credential) -> bytes:
    return credential.model_dump_json().encode()
