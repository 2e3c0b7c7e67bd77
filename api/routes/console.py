"""`/console`: the operator's pages. Signed in with an API key, read-only unless that was asked for and may be."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse, Response

from api.auth import Made
from api.console import views
from api.console.pages import FOLDER, HOME, is_ours, page
from api.console.signed_in import (
    Actor,
    ConsoleRoute,
    Sender,
    Viewer,
    check_origin,
    forget,
    keep_signed_in,
    sign_in_form,
)
from api.replays import replay_event, replay_events
from everlink.contract import KeyScope

router = APIRouter(prefix=HOME, include_in_schema=False, route_class=ConsoleRoute)

Path = Annotated[str, Form(max_length=2000)]  # of our own, to go on to


@router.get("/style.css")
async def style() -> FileResponse:
    return FileResponse(FOLDER / "style.css", headers={"cache-control": "public, max-age=300"})


@router.post("")
async def sign_in(
    request: Request,
    made: Made,
    api_key: Annotated[str, Form(max_length=500)] = "",
    allow_changes: Annotated[bool, Form()] = False,
    next_page: Annotated[Path, Form(alias="next")] = HOME,
) -> Response:
    """Trade an API key for a cookie; the key itself is not kept."""
    check_origin(request, made)
    next_page = next_page if is_ours(next_page) else HOME
    key = await made.api_keys.authenticate(api_key.strip(), made.clock())
    if key is None:
        made.limits.count_failure(request)
        return sign_in_form(request, 401, "This API key is not valid.", next_page)
    if KeyScope.READ not in key.scopes:
        return sign_in_form(request, 403, "This API key lacks the scope “read”.", next_page)
    secret = await made.console_sessions.open(key, made.clock(), may_act=allow_changes)
    response = RedirectResponse(next_page, 303)
    keep_signed_in(response, made, secret)
    return response


@router.post("/sign-out")
async def sign_out(made: Made, session: Sender) -> Response:
    await made.console_sessions.close(session.id)
    response = RedirectResponse(HOME, 303)
    forget(response, made)
    return response


@router.get("")
async def connections(
    request: Request, made: Made, session: Viewer, asked: Annotated[views.ConnectionsQuery, Query()]
) -> HTMLResponse:
    """Connections by status, narrowed by any combination of filters, page by page."""
    return page(request, "connections.html", await views.connections(made, session.scope, asked))


@router.get("/connections/{connection_id}")
async def connection(
    request: Request,
    made: Made,
    session: Viewer,
    connection_id: str,
    asked: Annotated[views.ConnectionQuery, Query()],
) -> HTMLResponse:
    """One connection: its life as a picture and as a table, and how its events fared."""
    return page(request, "connection.html", await views.connection(made, session.scope, connection_id, asked))


@router.get("/applications")
async def applications(request: Request, made: Made, session: Viewer) -> HTMLResponse:
    """Applications with their alarms and outages."""
    return page(request, "applications.html", await views.applications(made, session.scope))


@router.get("/endpoints")
async def endpoints(request: Request, made: Made, session: Viewer) -> HTMLResponse:
    """Webhook endpoints and their state."""
    return page(request, "endpoints.html", await views.endpoints(made, session.scope))


@router.get("/endpoints/{endpoint_id}")
async def endpoint(
    request: Request, made: Made, session: Viewer, endpoint_id: str, asked: Annotated[views.EndpointQuery, Query()]
) -> HTMLResponse:
    """One endpoint and its deliveries."""
    return page(request, "endpoint.html", await views.endpoint(made, session.scope, endpoint_id, asked))


@router.post("/endpoints/{endpoint_id}/replay")
async def replay_missed(made: Made, session: Actor, endpoint_id: str) -> Response:
    """Send an endpoint all that it has missed."""
    begun = await replay_events(made, session.scope, endpoint_id, after=0, since=None, missed_only=True)
    return RedirectResponse(f"{HOME}/endpoints/{endpoint_id}?{urlencode({'replay': begun.id})}", 303)


@router.post("/events/{event_id}/deliveries/{endpoint_id}/replay")
async def replay_one(made: Made, session: Actor, event_id: str, endpoint_id: str, back: Path = HOME) -> Response:
    """Send one event to an endpoint once more, and go back to where that was asked for."""
    await replay_event(made, session.scope, event_id, endpoint_id)
    back = back if is_ours(back) else HOME
    return RedirectResponse(f"{back}{'&' if '?' in back else '?'}notice={views.Notice.REPLAYED}", 303)
