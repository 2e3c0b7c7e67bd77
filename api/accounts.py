"""What a linked account may be called and hold, whichever route says so."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, Field
from pydantic_core import to_json

from everlink.contract import is_searchable

MAX_ID = 255
MAX_UDF_BYTES = 64 * 1024


def _searchable(account_id: str) -> str:
    """Temporal lists connections by it: one that it does not take could never connect."""
    if not is_searchable(account_id):
        raise ValueError("the id is too long")
    return account_id


def _bounded(udf: dict[str, Any]) -> dict[str, Any]:
    if len(to_json(udf)) > MAX_UDF_BYTES:
        raise ValueError("the fields are too large together")
    return udf


AccountId = Annotated[str, Field(min_length=1, max_length=MAX_ID, examples=["acme"]), AfterValidator(_searchable)]
AccountName = Annotated[str, Field(max_length=255, examples=["Acme Inc."])]
AccountFields = Annotated[
    dict[str, Any],
    Field(description="What your product wants to remember of it; replaced as a whole", examples=[{"plan": "pro"}]),
    AfterValidator(_bounded),
]
