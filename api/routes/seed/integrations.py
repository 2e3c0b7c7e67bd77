"""`/api/v2/public/linked-account/integration`: connecting and disconnecting, from the product's server."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Body, Query, Response
from pydantic import AwareDatetime

from api.auth import Account, Connects, Made
from api.connecting import start_link
from api.errors import ErrorBody, not_found
from api.fields import Prerequisites, among
from api.inputs import KeyFields
from api.keys import save_key
from api.lifecycle import disconnect
from api.routes.seed.lookups import account_seen, enabled, living
from api.routes.seed.views import AccountView, AuthUrl, Success
from everlink.contract import AuthType

router = APIRouter(
    prefix="/api/v2/public/linked-account/integration",
    tags=["Seed API"],
    responses={400: {"model": ErrorBody}, 404: {"model": ErrorBody}},
)

GivenAuthType = Annotated[
    AuthType | Literal[""] | None, Query(description="Only what was connected this way; empty: whatever it is")
]


@router.get("/oauth-url/{slug}")
async def oauth_url(
    made: Made, scope: Connects, account_id: Account, slug: str, response: Response, query: Prerequisites
) -> AuthUrl:
    """A link that takes the customer's browser to the provider's consent page, and back.

    What the application asks before consent (its `auth_input_map`: a subdomain, a region, ...) is given in the query,
    by its name. One that is missing or not of its shape is a 422 `invalid_fields` that names it.
    """
    _, entry = await enabled(made, scope, slug)
    response.headers["cache-control"] = "no-store"
    link = await start_link(made, scope, account_id, entry, among(entry, query))
    return AuthUrl(auth_url=link.connect_url)


@router.put("/save-key-credentials/{slug}", responses={status: {"model": ErrorBody} for status in (409, 502)})
async def save_key_credentials(
    made: Made,
    scope: Connects,
    account_id: Account,
    slug: str,
    fields: Annotated[KeyFields, Body(examples=[{"api_key": "sk_sandbox_..."}])],
    expires_at: Annotated[
        AwareDatetime | None, Query(description="When the key ends, if that is known: announced 30, 7 and 1 days ahead")
    ] = None,
) -> Success:
    """Connect a key-based application. The provider is asked first; what it refuses is not stored."""
    _, entry = await enabled(made, scope, slug)
    await save_key(made, scope, account_id, entry, fields, expires_at)
    return Success()


@router.delete("/{slug}")
async def remove_integration(
    made: Made,
    scope: Connects,
    account_id: Account,
    slug: str,
    auth_type: GivenAuthType = None,
) -> AccountView:
    """Disconnect every account of this application. 200 even where none was connected."""
    for connection in await living(made, scope, account_id, slug):
        if not auth_type or connection.auth_type == auth_type:
            await disconnect(made, connection)
    account = await made.tenants.linked_account(scope, account_id)
    if account is None:
        raise not_found("linked_account")
    return await account_seen(made, scope, account)
