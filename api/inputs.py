"""What a body may hold: nothing that a store, a header or an answer could not carry."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Request
from pydantic import AwareDatetime, BaseModel, BeforeValidator, Field, StringConstraints, model_validator

from api.errors import ApiError

MAX_BODY_BYTES = 1_000_000
MAX_DEPTH = 20


def plain(value: Any, depth: int = 0) -> Any:
    """The value, if all of it can be kept and given back.

    Raises:
        ValueError: a text holds a NUL or half a character, a number is none, or it is nested without end.
    """
    if depth > MAX_DEPTH:
        raise ValueError("it is nested too deeply")
    if isinstance(value, str):
        if "\0" in value or any("\ud800" <= letter <= "\udfff" for letter in value):
            raise ValueError("a text has characters that are not allowed")
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError("a number is not finite")
    elif isinstance(value, dict):
        for name, part in value.items():
            plain(name, depth + 1)
            plain(part, depth + 1)
    elif isinstance(value, list):
        for part in value:
            plain(part, depth + 1)
    return value


class Input(BaseModel):
    """Base of all bodies."""

    @model_validator(mode="before")
    @classmethod
    def _is_plain(cls, value: Any) -> Any:
        return plain(value)


def no_stand_in(value: Any) -> Any:
    """A number is written as one: `false` is not 0, and "7" is not 7.

    Raises:
        ValueError: it is something that pydantic would make a number of.
    """
    if isinstance(value, bool | str):
        raise ValueError("it is not a number")
    return value


NoStandIn = BeforeValidator(no_stand_in)


def left_out(**about: Any) -> Any:
    """A field of a change: where it is left out nothing changes, and it cannot be null. Look at `model_fields_set`."""
    return Field(default=None, json_schema_extra=_without_default, **about)


def _without_default(schema: dict[str, Any]) -> None:
    schema.pop("default", None)


def written_out(value: Any) -> Any:
    """A time is written as one: a number may mean seconds or milliseconds.

    Raises:
        ValueError: it is something else that pydantic would make a time of.
    """
    if not isinstance(value, str) or ":" not in value:
        raise ValueError("it is no time like 2026-01-01T00:00:00Z")
    return value


EARLIEST, LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)
# What every database and language can hold.
Moment = Annotated[AwareDatetime, Field(ge=EARLIEST, lt=LATEST), BeforeValidator(written_out)]

KeyFields = Annotated[dict[str, Annotated[str, StringConstraints(max_length=16_384)]], BeforeValidator(plain)]


async def plain_address(request: Request) -> None:
    """No address of ours holds a NUL, and not every database can look for one."""
    if "\0" in request.url.path or "%00" in request.url.query:
        raise ApiError(422, "invalid_request", "the address has characters that are not allowed")
