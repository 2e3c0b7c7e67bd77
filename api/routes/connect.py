"""The browser's side of connecting: the link that starts it, the provider's callback, and what the customer reads."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Cookie, Request
from fastapi.responses import FileResponse, RedirectResponse, Response
from starlette.datastructures import QueryParams

from api.arriving import Callback, arrive
from api.auth import Made
from api.brand import look_of
from api.connecting import ConnectFailed, depart
from api.html import PAGES, SOMEWHERE, Hosted, Place, connected, failed, headers, keep, link_done, unavailable
from api.return_urls import with_outcome
from api.services import Services
from api.trouble import Trouble
from api.ways import next_url, place_of
from store.connect_sessions import ConnectSession
from store.database import StoreUnavailable
from store.tickets import Ticket

BROWSER_COOKIE = "everlink_browser"
CALLBACK_PARAMETERS = ("state", "code", "error", "iss")
# What standards say besides; the rest is the provider's own, and may tell whose account it is (`realmId`).
NO_NEWS = frozenset({*CALLBACK_PARAMETERS, "error_description", "error_uri", "scope", "session_state"})
MOST_NEWS, LONGEST_NEWS = 20, 1024
KEPT = {"cache-control": "public, max-age=86400"}  # pages name their version

router = APIRouter(include_in_schema=False)

Browser = Annotated[str | None, Cookie(alias=BROWSER_COOKIE)]


@router.get("/connect/style.css")
async def style(request: Request) -> FileResponse:
    return FileResponse(PAGES / "style.css", headers=headers(request, KEPT))


@router.get("/connect/page.js")
@router.get("/connect/frame.js")
@router.get("/connect/close.js")
async def script(request: Request) -> FileResponse:
    path = PAGES / Path(request.url.path).name
    return FileResponse(path, headers=headers(request, KEPT), media_type="text/javascript")


@router.get("/connect/start/{secret}")
async def start(request: Request, made: Made, secret: str, browser: Browser = None, hosted: Hosted = None) -> Response:
    """Send the browser to the provider, marked so that only it can come back."""
    place = SOMEWHERE
    try:
        ticket = await made.tickets.open(secret, made.clock())
        if ticket is None:
            raise ConnectFailed(404, Trouble.LINK_EXPIRED)
        place = await _place(made, ticket, await _session(made, hosted))
        if ticket.used:
            return link_done(request, place)
        browser = browser or secrets.token_urlsafe(24)
        response = RedirectResponse(await depart(made, ticket, browser), 303, headers(request))
    except ConnectFailed as failure:
        return failed(request, failure, place)
    except StoreUnavailable:
        return unavailable(request)
    keep(response, made, BROWSER_COOKIE, browser)
    return response


@router.get("/api/v1/{slug}/callback")
async def callback(request: Request, made: Made, slug: str, browser: Browser = None, hosted: Hosted = None) -> Response:
    """The provider's answer (RFC 6749 section 4.1.2). A parameter that comes twice is refused."""
    try:
        session = await _session(made, hosted)
        try:
            arrival = await arrive(made, slug, browser, _answer(request.query_params))
        except ConnectFailed as failure:
            return failed(request, failure, await _place(made, failure.ticket, session))
        place = await _place(made, arrival.ticket, session)
        if arrival.connection_id is None:
            return link_done(request, place)
        url = await _next_url(made, arrival.ticket, session, place, arrival.connection_id)
        if url is not None:
            return RedirectResponse(url, 303, headers(request))
        entry = await made.entry(arrival.ticket.scope, slug)
        in_pop_up = arrival.ticket.session_id is not None and not place.has_list
        return connected(request, entry.name if entry else slug, place, closes=in_pop_up)
    except StoreUnavailable:
        return unavailable(request)


async def _session(made: Services, hosted: str | None) -> ConnectSession | None:
    return await made.connect_sessions.of_browser(hosted, made.clock()) if hosted else None


async def _place(made: Services, ticket: Ticket | None, session: ConnectSession | None) -> Place:
    """Where a link's customer stands: on the page of ours that it was made on, if this browser has that."""
    if session is not None and (ticket is None or ticket.session_id == session.id):
        return await place_of(made, session)
    if ticket is None:
        return SOMEWHERE
    return Place(await look_of(made, ticket.scope), ticket.locale, return_url=ticket.return_url)


async def _next_url(
    made: Services, ticket: Ticket, session: ConnectSession | None, place: Place, connection_id: str
) -> str | None:
    if session is not None and ticket.session_id == session.id:
        return await next_url(made, session, place, ticket.slug, connection_id)
    return with_outcome(ticket.return_url, ticket.slug, connection_id) if ticket.return_url else None


def _answer(query: QueryParams) -> Callback:
    if any(len(query.getlist(name)) > 1 for name in CALLBACK_PARAMETERS):
        raise ConnectFailed(400, Trouble.INVALID_ANSWER)
    return Callback(
        state=query.get("state"),
        code=query.get("code"),
        error=query.get("error"),
        description=query.get("error_description"),
        issuer=query.get("iss"),
        more=_news(query),
    )


def _news(query: QueryParams) -> dict[str, str]:
    """What the provider says beside the standards, within bounds."""
    news = [(name, value) for name, value in query.items() if name not in NO_NEWS]
    return dict([one for one in news if len(one[0]) + len(one[1]) <= LONGEST_NEWS][:MOST_NEWS])
