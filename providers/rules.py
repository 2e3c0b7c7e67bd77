"""How a provider's answers are read: where values stand, and which answers mean what."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, Strict, WithJsonSchema

from everlink.answers import code_text
from everlink.contract import ReauthReason


class Part(BaseModel):
    """A part of a catalog entry: nothing unknown in it, and never changed."""

    model_config = ConfigDict(extra="forbid", frozen=True)


_WRITTEN = {"anyOf": [{"type": one} for one in ("string", "integer", "boolean")]}
Code = Annotated[str, BeforeValidator(code_text), WithJsonSchema(_WRITTEN)]


class AnswerRule(Part):
    """An answer of the provider, recognized by what is given here; all that is given must match.

    Paths go deeper with dots; where a list stands on the way, one of its items must match. A rule without
    `status` is not looked for in an answer that is no statement about the request: a redirect, "too many
    requests", "too early", a timeout or a server's fault.
    """

    status: Annotated[int, Strict()] | None = None  # of HTTP
    field: str = "error"  # where the code stands in the JSON body
    code: Code | None = None  # what stands there
    contains: str | None = Field(default=None, min_length=1)  # a part of another field's text, in any case
    contains_in: str = "error_description"  # where that text stands
    source: str | None = None  # where this is written down

    def model_post_init(self, _: Any) -> None:
        if self.status is None and self.code is None and self.contains is None:
            raise ValueError("a rule needs `status`, `code` or `contains`: without, it would match every answer")


class DeadRule(AnswerRule):
    reason: ReauthReason = ReauthReason.ACCESS_REVOKED  # why the customer has to reconnect
    fields: tuple[str, ...] = ()  # which of the customer's fields such an answer speaks of; none: it does not tell


class Denial(StrEnum):
    """Who stands in the way of a consent, and so who can do something about it."""

    CUSTOMER = "customer"  # said no, or did not come to an end
    ADMINISTRATOR = "administrator"  # of the customer's has to approve the application first
    PROVIDER = "provider"  # has trouble now
    APPLICATION = "application"  # is set up wrongly: no customer can help


class DenialRule(AnswerRule):
    """A refusal that the browser brings back from the consent page, recognized by what stands in its query."""

    by: Denial  # who denied it

    def model_post_init(self, context: Any) -> None:
        super().model_post_init(context)
        if self.status is not None:
            raise ValueError("a query has no `status`")


class TokenAnswer(Part):
    """Where the standard values stand in a token endpoint's answer; paths go deeper with dots."""

    access_token: str = "access_token"  # its path
    refresh_token: str = "refresh_token"  # its path
    expires_in: str = "expires_in"  # seconds that the access token lives
    expires_at: str | None = None  # an ISO 8601 date or epoch seconds, of a server that says no `expires_in`
    refresh_expires_in: str | None = "refresh_token_expires_in"  # the same of the refresh token
    scope: str = "scope"  # the scopes that were granted, between spaces or commas, or in a list
    token_type: str | None = "token_type"  # None: what stands there is no HTTP scheme
    success: AnswerRule | None = None  # what a success must show beside its token

    def paths(self) -> tuple[str, ...]:
        """All places that are named here."""
        named = (self.access_token, self.refresh_token, self.expires_in, self.expires_at, self.refresh_expires_in)
        success = self.success.field if self.success else None
        return tuple(path for path in (*named, self.scope, self.token_type, success) if path is not None)
