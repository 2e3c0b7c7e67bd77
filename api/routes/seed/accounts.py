"""`/api/v2/public/linked-account`: the end customers."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import Field

from api.auth import Connects, Made
from api.errors import ApiError, ErrorBody
from api.inputs import Input
from api.routes.seed.views import AccountView, account_view

router = APIRouter(prefix="/api/v2/public/linked-account", tags=["Seed API"])


class AccountInput(Input):
    account_id: str | None = Field(default=None, min_length=1, max_length=255, examples=["acme"])
    linked_account_id: str | None = Field(default=None, min_length=1, max_length=255)
    name: str | None = Field(default=None, max_length=255, examples=["Acme Inc."])
    udf: dict[str, Any] = {}


@router.post("", responses={400: {"model": ErrorBody}})
async def save_account(made: Made, scope: Connects, account: AccountInput) -> AccountView:
    """Create a linked account, or change its name and fields."""
    account_id = account.account_id or account.linked_account_id
    if account_id is None:
        raise ApiError(400, "account_id_missing", "give an account_id")
    values = account.model_dump(include={"name", "udf"}, exclude_unset=True)
    return account_view(await made.tenants.save_linked_account(scope, account_id, values, made.clock()))
