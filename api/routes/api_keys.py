"""`/v1/api-keys`: the keys of one organization's environment."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Response
from pydantic import Field

from api.auth import Administers, AdministersAs, Caller, Made, Reads
from api.errors import ApiError, ErrorBody, not_found
from api.inputs import Input, Moment, NoStandIn
from api.services import Services
from everlink import models
from everlink.contract import KeyScope
from store.scope import Scope
from store.tables import ApiKey

router = APIRouter(prefix="/v1/api-keys", tags=["API keys"])

Responses = dict[int | str, dict[str, Any]]

DAY = 24 * 3600
MISSING: Responses = {404: {"model": ErrorBody}}

Scopes = Annotated[list[KeyScope], Field(min_length=1, examples=[["read", "connect"]])]


class KeyInput(Input):
    name: str = Field(min_length=1, max_length=255, examples=["backend"])
    scopes: Scopes = Field(description="None that the key you call with does not have itself")
    expires_at: Moment | None = Field(default=None, examples=["2030-01-01T00:00:00Z"])


class RotateInput(Input):
    overlap_seconds: Annotated[int, Field(ge=0, le=30 * DAY), NoStandIn] = Field(
        default=DAY, examples=[DAY], description="How long the old key lives on beside the new one"
    )


A_DAY_BESIDE = RotateInput()


@router.get("")
async def list_api_keys(made: Made, scope: Reads) -> list[models.ApiKey]:
    """Every key that there was, newest first, without the secrets."""
    return [_out(row) for row in await made.api_keys.all(scope)]


@router.post("", status_code=201)
async def add_api_key(made: Made, caller: AdministersAs, given: KeyInput, response: Response) -> models.NewApiKey:
    """Make a key for this environment. It can do no more than the key that makes it, and is in this answer only."""
    if given.expires_at is not None and given.expires_at <= made.clock():
        raise ApiError(422, "already_expired", "the key would have ended already")
    return await _make(made, caller, given.name, set(given.scopes), given.expires_at, response)


@router.post("/{key_id}/rotate", status_code=201, responses=MISSING)
async def rotate_api_key(
    made: Made, caller: AdministersAs, key_id: str, response: Response, given: RotateInput = A_DAY_BESIDE
) -> models.NewApiKey:
    """A new key in place of this one, with its name and scopes, made to live as long as it was.

    Both live until the overlap has passed: put the new one in place meanwhile.
    """
    old, now = await _find(made, caller.scope, key_id), made.clock()
    if old.revoked_at is not None or (old.ends_at is not None and old.ends_at <= now):
        raise ApiError(409, "api_key_ended", "the key has ended: make a new one")
    expires_at = None if old.expires_at is None else now + (old.expires_at - old.created_at)
    new = await _make(made, caller, old.name, {KeyScope(one) for one in old.scopes}, expires_at, response)
    await made.api_keys.replace(caller.scope, key_id, now + timedelta(seconds=given.overlap_seconds))
    return new


@router.delete("/{key_id}", status_code=204, responses={**MISSING, 409: {"model": ErrorBody}})
async def revoke_api_key(made: Made, scope: Administers, key_id: str) -> None:
    """Revoke a key at once. The last one that may make others is not revoked: nobody locks themselves out.

    A key that was rotated does not count as such, though it may still live for a while.
    """
    await _find(made, scope, key_id)
    if not await made.api_keys.revoke_unless_last(scope, key_id, made.clock()):
        raise ApiError(409, "last_admin_key", "this is the last key that may make others")


async def _find(made: Services, scope: Scope, key_id: str) -> ApiKey:
    row = await made.api_keys.get(scope, key_id)
    if row is None:
        raise not_found("api_key")
    return row


async def _make(
    made: Services, caller: Caller, name: str, scopes: set[KeyScope], expires_at: datetime | None, response: Response
) -> models.NewApiKey:
    beyond = scopes - caller.rights
    if beyond:
        raise ApiError(
            403, "insufficient_scope", "a key cannot give more than it may do itself", required_scopes=sorted(beyond)
        )
    ordered = [one for one in KeyScope if one in scopes]
    key = await made.api_keys.add(caller.scope, name, made.clock(), scopes=ordered, expires_at=expires_at)
    row = await _find(made, caller.scope, key.split("_")[1])
    response.headers["cache-control"] = "no-store"
    return models.NewApiKey(**_out(row).model_dump(), key=key)


def _out(row: ApiKey) -> models.ApiKey:
    return models.ApiKey(**row.model_dump(exclude={"expires_at"}), expires_at=row.ends_at)
