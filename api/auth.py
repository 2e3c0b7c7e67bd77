"""Who calls: one dependency decides organization and environment, another the linked account."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Header, Query
from fastapi.security import APIKeyHeader

from api.errors import ApiError, not_found
from api.services import Services, services
from store.scope import Scope

_api_key = APIKeyHeader(
    name="x-api-key",
    scheme_name="ApiKey",
    description="`tk_...` for the test environment, `pk_...` for production.",
    auto_error=False,
)


async def tenant(
    made: Annotated[Services, Depends(services)], api_key: Annotated[str | None, Depends(_api_key)]
) -> Scope:
    """The organization and environment of the API key."""
    scope = await made.tenants.authenticate(api_key, made.clock()) if api_key else None
    if scope is None:
        raise ApiError(401, "invalid_api_key", "the API key is missing or not valid")
    return scope


async def linked_account(
    made: Annotated[Services, Depends(services)],
    scope: Annotated[Scope, Depends(tenant)],
    header: Annotated[str | None, Header(alias="linked_account_id", convert_underscores=False, max_length=255)] = None,
    query: Annotated[str | None, Query(alias="linked_account_id", max_length=255)] = None,
) -> str:
    """The linked account that a request is about; the header wins over the query."""
    account_id = header or query
    if not account_id:
        raise ApiError(400, "linked_account_id_missing", "name a linked account by header or query")
    if await made.tenants.linked_account(scope, account_id) is None:
        raise not_found("linked_account")
    return account_id


Made = Annotated[Services, Depends(services)]
Tenant = Annotated[Scope, Depends(tenant)]
Account = Annotated[str, Depends(linked_account)]
