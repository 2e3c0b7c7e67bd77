"""`/hooks`: where providers say that a customer has uninstalled the application or revoked its grant."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Request
from starlette.background import BackgroundTask, BackgroundTasks
from starlette.responses import JSONResponse, Response

from api.auth import Made
from api.errors import ApiError, not_found
from api.hooks import take
from api.html import disconnected
from api.services import Services
from everlink.contract import Environment
from providers.events import ClientCredentials, Events, SecurityEventToken
from providers.inbound.incoming import Incoming, Refused
from providers.inbound.verify import shown_client
from store.scope import Scope
from store.tables import Application

router = APIRouter(include_in_schema=False)

AUTHENTIC = ("authentication_failed", "invalid_key")
Slug = Annotated[str, Path(max_length=100)]


@router.api_route("/hooks/{slug}/{environment}/{org_id}", methods=["POST", "GET", "DELETE"])
async def receive(request: Request, made: Made, slug: Slug, environment: str, org_id: str) -> Response:
    """Anybody may send here; what proves it, the catalog says. Whatever is not there looks the same."""
    if environment not in set(Environment):
        raise not_found("hook")
    scope = Scope(org_id, Environment(environment))
    entry = await made.entry(scope, slug)
    events = entry.events if entry is not None else None
    application = await made.tenants.application(scope, slug) if events and events.method == request.method else None
    if events is None or application is None:
        raise not_found("hook")
    incoming = await _incoming(request, events_url(made, slug, scope))
    try:
        answer = await take(made, events, application, incoming)
    except Refused as refused:
        made.limits.count_failure(request)
        if isinstance(events.signature, SecurityEventToken):  # in RFC 8935's form
            status = 401 if refused.code in AUTHENTIC else 400
            return JSONResponse({"err": refused.code, "description": str(refused)}, status)
        raise _forged() from None
    if request.method == "GET" and answer.status_code == events.status:  # a customer's browser
        shown = disconnected(request, events.status)
        shown.background = answer.background
        return shown
    return answer


@router.delete("/api/v1/{slug}/callback")
async def receive_at_callback(request: Request, made: Made, slug: Slug) -> Response:
    """From who sends it to the address that is registered for consent, and shows our client: whose it is, tells that.

    One client may be several tenants', or both environments'.
    """
    entry = made.catalog.get(slug)
    events = entry.events if entry is not None else None
    if events is None or events.method != "DELETE" or not isinstance(events.signature, ClientCredentials):
        raise not_found("hook")
    incoming = await _incoming(request, str(request.url))
    try:
        client_id = shown_client(incoming).partition(b":")[0].decode(errors="replace").replace("\0", "")
        applications = await made.tenants.applications_of_client(slug, client_id)
        answers = [answer for one in applications if (answer := await _try(made, events, one, incoming)) is not None]
        if not answers:
            raise Refused("nobody has this client")
    except Refused:
        made.limits.count_failure(request)
        raise _forged() from None
    later = [answer.background for answer in answers if isinstance(answer.background, BackgroundTask)]
    return Response(status_code=events.status, background=BackgroundTasks(later))


async def _try(made: Services, events: Events, application: Application, incoming: Incoming) -> Response | None:
    try:
        return await take(made, events, application, incoming)
    except Refused:
        return None


def events_url(made: Services, slug: str, scope: Scope) -> str:
    """The address that is registered at the provider; some sign it."""
    return f"{made.settings.public_url}/hooks/{slug}/{scope.environment.value}/{scope.org_id}"


async def _incoming(request: Request, url: str) -> Incoming:
    headers = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers.raw)
    return Incoming(request.method, url, headers, request.url.query, await request.body())


def _forged() -> ApiError:
    return ApiError(401, "invalid_signature", "it is not signed as this provider signs, or too long ago")
