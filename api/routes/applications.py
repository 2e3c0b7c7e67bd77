"""`/v1/applications`: which catalog entries an organization uses, with its own client at each provider."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import Field, SecretStr, StringConstraints

from api.auth import Administers, Made, Reads
from api.errors import ErrorBody, not_found
from api.inputs import Input, NoStandIn
from api.removals import remove
from api.routes.hooks import events_url
from everlink import models
from everlink.contract import RemovalKind
from store.scope import Scope
from store.tables import Application
from store.tenants import CLIENT_SECRET, SIGNING_SECRET, ApplicationSecret

router = APIRouter(prefix="/v1/applications", tags=["Applications"])

SECRETS = (CLIENT_SECRET, SIGNING_SECRET)
LISTS = {"scopes", "required_scopes"}
DAY = int(timedelta(days=1).total_seconds())

# A provider's answer has spaces or commas between them.
Scopes = Annotated[list[Annotated[str, StringConstraints(max_length=255, pattern=r"^[^\s,]+$")]], Field(max_length=100)]
Word = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, pattern=r"\S")]


class ApplicationInput(Input):
    """What is left out stays as it is; `null` takes it back to none."""

    client_id: Word | None = Field(default=None, max_length=500, examples=["everlink-sandbox"])
    client_secret: SecretStr | None = Field(
        default=None, min_length=1, max_length=4000, description="Kept sealed, never shown", examples=["s3cret"]
    )
    signing_secret: SecretStr | None = Field(
        default=None,
        min_length=1,
        max_length=4000,
        description="What the provider's events are known by, kept sealed, never shown: the signing secret, the "
        "webhook's token, or the public key with which it signs",
        examples=["8f742231b10e8888abcd99yyyzzz85a5"],
    )
    scopes: list[Word] | None = Field(default=None, description="In place of the catalog's", examples=[["read"]])
    required_scopes: Scopes | None = Field(
        default=None,
        description="As the provider names them in its answer: where that lacks one, nothing is connected",
        examples=[["read"]],
    )
    previous_secret_seconds: Annotated[int, Field(ge=0, le=30 * DAY), NoStandIn] = Field(
        default=DAY,
        description="How long a secret that is replaced is still tried where the new one does not work",
    )


AS_IT_IS = ApplicationInput()


@router.get("")
async def list_applications(made: Made, scope: Reads) -> list[models.Application]:
    """The applications that are enabled, each with its client and what the provider holds against it."""
    return [await _out(made, row) for row in await made.tenants.applications(scope)]


@router.get("/{slug}")
async def get_application(made: Made, scope: Reads, slug: str) -> models.Application:
    """One application that is enabled."""
    return await _out(made, await _find(made, scope, slug))


@router.put("/{slug}", responses={409: {"model": ErrorBody}})
async def enable_application(
    made: Made, scope: Administers, slug: str, given: ApplicationInput = AS_IT_IS
) -> models.Application:
    """Enable an application, or change its client. Idempotent.

    A secret is replaced without downtime: where the provider refuses the new client secret, or does not sign with the
    new signing secret yet, the one before is tried for another day, or as long as `previous_secret_seconds` says.
    409 `removal_under_way` while the application is being removed.
    """
    if await made.entry(scope, slug) is None:
        raise not_found("application")
    before = await made.tenants.application(scope, slug)
    values = _changes(given, before)
    application_id = await made.tenants.enable_application(scope, slug, values, made.clock())
    until = made.clock() + timedelta(seconds=given.previous_secret_seconds)
    keeps = given.previous_secret_seconds > 0 and "client_id" not in values
    for secret in SECRETS:
        new: SecretStr | None = getattr(given, secret.current)
        if new is not None and not await _is_current(made, scope, secret, before, new):
            sealed = await made.vault.seal(scope, secret.kind, application_id, new.get_secret_value().encode())
            former = until if keeps else None
            await made.tenants.replace_secret(scope, slug, secret, sealed, former, made.clock())
    return await _out(made, await _find(made, scope, slug))


@router.delete("/{slug}", status_code=202)
async def remove_application(made: Made, scope: Administers, slug: str) -> models.Removal:
    """Remove an application. Its customers have to reconnect: `reauth_required`, reason `application_deleted`.

    Answers at once; the removal tells each connection and then forgets the client. The connections stay: when the
    application is enabled again, a reconnect makes each of them active under its id. One that never finished
    connecting ends. While the removal is under way, nothing new is connected; deleting again answers the same removal.
    """
    return await remove(made, scope, RemovalKind.APPLICATION, slug)


def _changes(given: ApplicationInput, before: Application | None) -> dict[str, Any]:
    """What a body changes apart from a new secret. A secret belongs to the client id that it was given for."""
    values: dict[str, Any] = given.model_dump(include={"client_id", *LISTS}, exclude_unset=True)
    values |= {name: values[name] or [] for name in LISTS & values.keys()}
    if before is not None and values.get("client_id", before.client_id) == before.client_id:
        values.pop("client_id", None)
    at_once = "previous_secret_seconds" in given.model_fields_set and given.previous_secret_seconds == 0
    for secret in SECRETS:
        if secret.current in given.model_fields_set and getattr(given, secret.current) is None:
            values[secret.current] = None
        if at_once or "client_id" in values or secret.current in values:
            values |= secret.forgotten
    return values


async def _is_current(
    made: Made, scope: Scope, secret: ApplicationSecret, row: Application | None, new: SecretStr
) -> bool:
    """Whether a secret is the one that is there: sent again, it replaces nothing."""
    sealed: bytes | None = getattr(row, secret.current) if row is not None else None
    if row is None or sealed is None:
        return False
    return await made.vault.open(scope, secret.kind, row.id, sealed) == new.get_secret_value().encode()


async def _find(made: Made, scope: Scope, slug: str) -> Application:
    row = await made.tenants.application(scope, slug)
    if row is None:
        raise not_found("application")
    return row


async def _out(made: Made, row: Application) -> models.Application:
    scope = Scope(row.org_id, row.environment)
    entry = await made.entry(scope, row.slug)
    until = row.previous_until if row.previous_client_secret is not None else None
    return models.Application(
        slug=row.slug,
        client_id=row.client_id,
        has_client_secret=row.client_secret is not None,
        previous_secret_until=until if until is not None and until > made.clock() else None,
        has_signing_secret=row.signing_secret is not None,
        scopes=row.scopes,
        required_scopes=row.required_scopes,
        alarm=row.alarm,
        alarm_at=row.alarm_at,
        outage_since=row.outage_since,
        redirect_uri=f"{made.settings.public_url}/api/v1/{row.slug}/callback",
        events_url=events_url(made, row.slug, scope) if entry is not None and entry.events is not None else None,
    )
