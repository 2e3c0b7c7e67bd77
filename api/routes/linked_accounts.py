"""`/v1/linked-accounts`: your customers, under the ids that you give them."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query

from api.accounts import MAX_ID, AccountFields, AccountId, AccountName
from api.auth import Connects, Made, Reads
from api.errors import ApiError, ErrorBody, not_found
from api.inputs import Input
from everlink import models
from store.tables import LinkedAccount
from store.tenants import RemovalUnderWay

router = APIRouter(prefix="/v1/linked-accounts", tags=["Linked accounts"])

NOT_FOUND: dict[int | str, dict[str, Any]] = {404: {"model": ErrorBody}}
MAX_PAGE = 200


class NewAccount(Input):
    id: AccountId
    name: AccountName | None = None
    udf: AccountFields = {}


class AccountChanges(Input):
    """What is left out stays as it is."""

    name: AccountName | None = None
    udf: AccountFields = {}


@router.get("")
async def list_accounts(
    made: Made,
    scope: Reads,
    cursor: Annotated[str | None, Query(max_length=MAX_ID, description="`next_cursor` of the page before")] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 50,
) -> models.LinkedAccountPage:
    """The linked accounts, page by page. What they have connected: `/v1/connections?linked_account_id=`."""
    rows = await made.tenants.linked_accounts(scope, after=cursor, limit=limit + 1)
    more = rows[limit - 1].id if len(rows) > limit else None
    return models.LinkedAccountPage(linked_accounts=[_out(row) for row in rows[:limit]], next_cursor=more)


@router.post("", status_code=201, responses={409: {"model": ErrorBody}})
async def add_account(made: Made, scope: Connects, given: NewAccount) -> models.LinkedAccount:
    """Create a linked account. 409 where there is one of this id, or its removal is still under way."""
    values = given.model_dump(include={"name", "udf"})
    if not await made.tenants.add_linked_account(scope, given.id, values, made.clock()):
        if await made.tenants.linked_account(scope, given.id) is None:
            raise RemovalUnderWay("the linked account is being removed")
        raise ApiError(409, "linked_account_exists", "there is a linked account of this id")
    return _out(await _found(made, scope, given.id))


@router.get("/{account_id:path}", responses=NOT_FOUND)
async def get_account(made: Made, scope: Reads, account_id: str) -> models.LinkedAccount:
    """One linked account."""
    return _out(await _found(made, scope, account_id))


@router.patch("/{account_id:path}", responses=NOT_FOUND)
async def change_account(made: Made, scope: Connects, account_id: str, changes: AccountChanges) -> models.LinkedAccount:
    """Change its name or fields; `udf` is replaced as a whole, `name: null` takes the name away."""
    row = await made.tenants.change_linked_account(scope, account_id, changes.model_dump(exclude_unset=True))
    if row is None:
        raise not_found("linked_account")
    return _out(row)


async def _found(made: Made, scope: Reads, account_id: str) -> LinkedAccount:
    row = await made.tenants.linked_account(scope, account_id)
    if row is None:
        raise not_found("linked_account")
    return row


def _out(row: LinkedAccount) -> models.LinkedAccount:
    return models.LinkedAccount(id=row.id, name=row.name, udf=row.udf, created_at=row.created_at)
