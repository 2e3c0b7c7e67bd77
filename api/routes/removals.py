"""`/v1/removals`, and the removals of a linked account and of everything that there is."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import Field

from api.auth import Administers, Connects, Made, Reads
from api.errors import ApiError, ErrorBody, not_found
from api.inputs import Input
from api.removals import removal_out, remove
from everlink import models
from everlink.contract import RemovalKind

router = APIRouter(tags=["Removals"], responses={404: {"model": ErrorBody}})


class EraseInput(Input):
    org_id: str = Field(max_length=255, description="Your own organization's id, as a safeguard", examples=["6f1c..."])


@router.get("/v1/removals/{removal_id}")
async def get_removal(made: Made, scope: Reads, removal_id: str) -> models.Removal:
    """How far a removal is."""
    removal = await made.removals.get(scope, removal_id)
    if removal is None:
        raise not_found("removal")
    return removal_out(removal)


@router.delete("/v1/linked-accounts/{account_id:path}", status_code=202)
async def remove_linked_account(made: Made, scope: Connects, account_id: str) -> models.Removal:
    """Remove a linked account with its connections, and all that is known of it.

    From this answer on the account is not there any more, and its session tokens are worth nothing. Each connection is
    disconnected: revoked at the provider, its credential purged, "Connection Deleted" sent. Then the account, its
    connections and their timelines are deleted, within a day where a provider or a webhook endpoint does not answer.
    What stays is the removal: the id, when, and how many connections it had. An account that is created under the same
    id afterwards starts empty; until then creating it is a 409 `removal_under_way`.
    """
    return await remove(made, scope, RemovalKind.LINKED_ACCOUNT, account_id)


@router.post("/v1/erase", status_code=202)
async def erase(made: Made, scope: Administers, given: EraseInput) -> models.Removal:
    """Erase all that your organization has in this environment, for good.

    Each connection is disconnected as when its linked account is removed. Then every row goes, within a day where
    somebody does not answer: with the key that everything was sealed under, and at last with the API keys and the
    removal itself, so that its end is a 401. Until then nothing new can be made here but API keys, which go with the
    others. The other environment stays.
    """
    if given.org_id != scope.org_id:
        raise ApiError(422, "another_organization", "name the organization that the API key belongs to")
    return await remove(made, scope, RemovalKind.ORGANIZATION, scope.org_id)
