"""A credential in the clear. It lives in memory only as long as a request needs it, and never prints itself."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter
from pydantic_core import from_json, to_json

from providers.templates import texts

MAX_EXTRA_BYTES = 64 * 1024
BETWEEN_SCOPES = re.compile(r"[\s,]+")  # spaces by the standard, commas at many


class OAuthCredential(BaseModel):
    """What a token endpoint granted; `extra` keeps what else it said (`instance_url`, ...)."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    access_token: str = Field(repr=False)
    refresh_token: str | None = Field(default=None, repr=False)
    token_type: str = "Bearer"
    scope: str | None = None
    extra: dict[str, Any] = Field(default_factory=dict, repr=False)
    given: dict[str, str] = Field(default_factory=dict, repr=False)  # what the customer gave before consent
    origin: str | None = None  # the fingerprint of what another system held, where the grant was taken over from it

    def lacks(self, required: Iterable[str]) -> list[str]:
        """Those of these scopes that were not granted; who says none has granted what was asked (RFC 6749, 5.1)."""
        if self.scope is None:
            return []
        granted = set(BETWEEN_SCOPES.split(self.scope))
        return [scope for scope in required if scope not in granted]

    def values(self) -> dict[str, str]:
        """What requests to the provider may need of it."""
        renewing = {} if self.refresh_token is None else {"refresh_token": self.refresh_token}
        return {**texts(self.extra), **self.given, **renewing, "access_token": self.access_token}


class KeyCredential(BaseModel):
    """The fields that a customer typed in."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    fields: dict[str, str] = Field(repr=False)

    def values(self) -> dict[str, str]:
        """What requests to the provider may need of it."""
        return self.fields


Credential = OAuthCredential | KeyCredential

_any: TypeAdapter[Credential] = TypeAdapter(Credential)


def bounded(extra: dict[str, Any]) -> dict[str, Any]:
    """What of it is kept: all, or where that is too much, without the largest, and without what none could read back.

    The credential is written at every refresh, and a provider may say anything.
    """
    sizes = {name: size for name, value in extra.items() if (size := _size(name, value)) is not None}
    left = MAX_EXTRA_BYTES
    kept = set()
    for name in sorted(sizes, key=lambda one: sizes[one]):
        left -= sizes[name]
        if left < 0:
            break
        kept.add(name)
    return {name: value for name, value in extra.items() if name in kept}


def _size(name: str, value: Any) -> int | None:
    """In bytes of JSON; None where it is nested too deeply to stand where it will."""
    try:
        text = to_json({"credential": {"extra": {name: value}}})
        from_json(text)
    except ValueError:
        return None
    return len(text)


def to_bytes(credential: Credential) -> bytes:
    return credential.model_dump_json().encode()


def from_bytes(secret: bytes) -> Credential:
    """The credential that `to_bytes` wrote. Only the one kind has an access token, only the other has fields."""
    return _any.validate_json(secret)
