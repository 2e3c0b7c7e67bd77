"""The routes of the seed's browser SDK: what the product's server does with its key, for one account by its token."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body, Query, Response
from pydantic import BaseModel, Field

from api.auth import Made, Session
from api.connecting import reconnect_of, start_link
from api.errors import ApiError, ErrorBody, not_found
from api.fields import Prerequisites, among
from api.inputs import KeyFields
from api.keys import save_key
from api.routes.seed import applications, integrations
from api.routes.seed.lookups import account_seen, enabled
from api.routes.seed.views import AccountView, ApplicationView, AuthUrl, Saved

router = APIRouter(tags=["Browser SDK"], responses={403: {"model": ErrorBody}, 404: {"model": ErrorBody}})


NO_FIELDS: dict[str, str] = {}
MENDS = "The connection to mend; by default the one of the account that the key opens"


class OrganizationView(BaseModel):
    id: str = Field(serialization_alias="_id")
    name: str = Field(examples=["Acme"])


class Basics(BaseModel):
    organization: OrganizationView
    environment: str = Field(examples=["test"])
    linked_account: AccountView


class Connected(BaseModel):
    connected: bool


@router.get("/api/v2/f-sdk/application")
async def list_applications(made: Made, session: Session) -> list[ApplicationView]:
    """The organization's applications, with what this linked account has connected and what needs a reconnect."""
    return await applications.list_applications(made, session.scope, session.linked_account_id)


@router.get("/api/v2/f-sdk/application/{slug}")
async def get_application(made: Made, session: Session, slug: str) -> ApplicationView:
    """One application, as this linked account sees it."""
    return await applications.get_application(made, session.scope, session.linked_account_id, slug)


@router.get("/api/v1/{slug}/integrate", responses={400: {"model": ErrorBody}})
async def auth_url(made: Made, session: Session, slug: str, response: Response, query: Prerequisites) -> AuthUrl:
    """A link that takes the customer's browser to the provider's consent page, and back.

    It connects, and where the same account at the provider consents again, it mends the connection that was there.
    What the application asks before consent (its `auth_input_map`) is given in the query, by its name. Further
    parameters are accepted: the SDK sends its caller's.
    """
    _, entry = await enabled(made, session.scope, slug)
    response.headers["cache-control"] = "no-store"
    given = among(entry, query)
    link = await start_link(made, session.scope, session.linked_account_id, entry, given)
    return AuthUrl(auth_url=link.connect_url)


@router.post("/api/v1/{slug}/integrate", responses={status: {"model": ErrorBody} for status in (400, 409, 502)})
async def connect_machine(
    made: Made,
    session: Session,
    slug: str,
    fields: Annotated[KeyFields, Body(examples=[{"client_id": "...", "client_secret": "..."}])] = NO_FIELDS,
) -> Connected:
    """Connect machine to machine: with a client of the customer's own, which is traded for a token at once."""
    _, entry = await enabled(made, session.scope, slug)
    if entry.oauth2 is None or not entry.oauth2.asks_with_customers_client:
        raise ApiError(400, "not_machine_to_machine", "this application does not connect machine to machine")
    await save_key(made, session.scope, session.linked_account_id, entry, fields)
    return Connected(connected=True)


@router.post("/api/v2/app/{slug}/save", responses={status: {"model": ErrorBody} for status in (400, 409, 502)})
async def save(
    made: Made,
    session: Session,
    slug: str,
    fields: Annotated[KeyFields, Body(examples=[{"api_key": "sk_..."}])],
    connection_id: Annotated[str | None, Query(max_length=100, description=MENDS)] = None,
) -> Saved:
    """Connect a key-based application. The provider is asked first; what it refuses is not stored."""
    _, entry = await enabled(made, session.scope, slug)
    if connection_id is not None:
        await reconnect_of(made, session.scope, session.linked_account_id, slug, connection_id)
    view = await save_key(made, session.scope, session.linked_account_id, entry, fields, connection_id=connection_id)
    return Saved(connection_id=view.connection_id)


@router.delete("/api/v1/linked-acc/integration/{slug}")
async def remove_integration(
    made: Made, session: Session, slug: str, auth_type: integrations.GivenAuthType = None
) -> AccountView:
    """Disconnect every account of this application. 200 even where none was connected."""
    return await integrations.remove_integration(made, session.scope, session.linked_account_id, slug, auth_type)


@router.get("/api/v3/org/basics")
async def basics(made: Made, session: Session) -> Basics:
    """For whom the token stands."""
    return Basics(
        organization=OrganizationView(
            id=session.scope.org_id, name=await made.tenants.organization_name(session.scope)
        ),
        environment=session.scope.environment,
        linked_account=await _account(made, session),
    )


async def _account(made: Made, session: Session) -> AccountView:
    account = await made.tenants.linked_account(session.scope, session.linked_account_id)
    if account is None:
        raise not_found("linked_account")
    return await account_seen(made, session.scope, account)
