"""`/api/v2/public/linked-account`: the end customers."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from api.accounts import AccountFields, AccountId, AccountName
from api.auth import Connects, ConnectsOrSession, Made, Reads, ReadsOrSession
from api.errors import ApiError, ErrorBody, not_found
from api.inputs import Input
from api.routes.seed.lookups import account_seen, account_views
from api.routes.seed.views import AccountView
from store.tenants import RemovalUnderWay

router = APIRouter(
    prefix="/api/v2/public/linked-account",
    tags=["Seed API"],
    responses={status: {"model": ErrorBody} for status in (400, 404, 409)},
)

MAX_PAGE = 200


class AccountInput(Input):
    account_id: AccountId | None = None
    linked_account_id: AccountId | None = Field(default=None, description="Another name for `account_id`")
    name: AccountName | None = None
    udf: AccountFields = {}

    @property
    def id(self) -> str | None:
        return self.account_id or self.linked_account_id


class WrappedAccount(AccountInput):
    payload: AccountInput | None = Field(default=None, description="The same fields, as some clients wrap them")


class SavedAccount(AccountView):
    new_account: bool


class NumberedPage(BaseModel):
    docs: list[AccountView]
    totalDocs: int
    limit: int = Field(description=f"As applied: at most {MAX_PAGE}")
    totalPages: int
    page: int


@router.post("")
async def add_account(made: Made, scope: Connects, given: AccountInput) -> AccountView:
    """Create a linked account, or change its name and fields."""
    values = given.model_dump(include={"name", "udf"}, exclude_unset=True)
    row = await made.tenants.save_linked_account(scope, _named(given.id), values, made.clock())
    return await account_seen(made, scope, row)


@router.put("")
async def put_account(made: Made, caller: ConnectsOrSession, body: WrappedAccount) -> SavedAccount:
    """The same, and whether it is new. A session token changes its own account, which it need not name."""
    given, scope, own = body.payload or body, caller.scope, caller.linked_account_id
    values = given.model_dump(include={"name", "udf"}, exclude_unset=True)
    new = False
    if own is None:
        account_id = _named(given.id)
        new = await made.tenants.add_linked_account(scope, account_id, values, made.clock())
    elif (account_id := given.id or own) != own:
        raise not_found("linked_account")
    row = await made.tenants.change_linked_account(scope, account_id, values)
    if row is None:
        raise RemovalUnderWay("the linked account is being removed")
    view = await account_seen(made, scope, row)
    return SavedAccount(**view.model_dump(), new_account=new)


@router.get("")
async def list_accounts(
    made: Made,
    scope: Reads,
    page: Annotated[int, Query(ge=1, le=1_000_000)] = 1,
    limit: Annotated[int, Query(ge=1, description=f"More than {MAX_PAGE} count as {MAX_PAGE}")] = 20,
) -> NumberedPage:
    """The linked accounts by numbered pages, in the order of their ids. `/v1/linked-accounts` has cursors."""
    limit = min(limit, MAX_PAGE)
    rows = await made.tenants.linked_accounts(scope, skip=(page - 1) * limit, limit=limit)
    total = await made.tenants.count_linked_accounts(scope)
    return NumberedPage(
        docs=await account_views(made, scope, rows),
        totalDocs=total,
        limit=limit,
        totalPages=max(1, -(-total // limit)),
        page=page,
    )


@router.get("/{account_id:path}")
async def get_account(made: Made, caller: ReadsOrSession, account_id: str) -> AccountView:
    """One linked account with what it has connected. A session token sees its own alone."""
    foreign = caller.linked_account_id not in (None, account_id)
    row = None if foreign else await made.tenants.linked_account(caller.scope, account_id)
    if row is None:
        raise not_found("linked_account")
    return await account_seen(made, caller.scope, row)


def _named(account_id: str | None) -> str:
    if account_id is None:
        raise ApiError(400, "account_id_missing", "give an account_id")
    return account_id
