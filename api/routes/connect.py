"""The browser's side of connecting: the link that starts it, the provider's callback, and what the customer reads."""

from __future__ import annotations

import secrets
from typing import Annotated

from fastapi import APIRouter, Cookie, Request
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse, Response
from starlette.datastructures import QueryParams

from api.arriving import Callback, arrive
from api.auth import Made
from api.connecting import ConnectFailed, depart
from api.html import PAGES, Hosted, connected, failed, keep, unavailable
from api.trouble import Trouble
from store.database import StoreUnavailable

BROWSER_COOKIE = "everlink_browser"
CALLBACK_PARAMETERS = ("state", "code", "error", "iss")
# What standards say besides; the rest is the provider's own, and may tell whose account it is (`realmId`).
NO_NEWS = frozenset({*CALLBACK_PARAMETERS, "error_description", "error_uri", "scope", "session_state"})
MOST_NEWS, LONGEST_NEWS = 20, 1024

router = APIRouter(include_in_schema=False)

Browser = Annotated[str | None, Cookie(alias=BROWSER_COOKIE)]


@router.get("/connect/style.css")
async def style() -> FileResponse:
    return FileResponse(PAGES / "style.css")


@router.get("/connect/start/{secret}")
async def start(request: Request, made: Made, secret: str, browser: Browser = None) -> Response:
    """Send the browser to the provider, marked so that only it can come back."""
    try:
        ticket = await made.tickets.open(secret, made.clock())
        if ticket is None:
            raise ConnectFailed(404, Trouble.LINK_EXPIRED)
        if ticket.used:
            return connected(request, "page.link_done")
        browser = browser or secrets.token_urlsafe(24)
        response = RedirectResponse(await depart(made, ticket, browser), 303)
    except ConnectFailed as failure:
        return failed(request, failure)
    except StoreUnavailable:
        return unavailable(request)
    keep(response, made, BROWSER_COOKIE, browser)
    return response


@router.get("/api/v1/{slug}/callback")
async def callback(
    request: Request, made: Made, slug: str, browser: Browser = None, hosted: Hosted = None
) -> HTMLResponse:
    """The provider's answer (RFC 6749 section 4.1.2). A parameter that comes twice is refused."""
    query = request.query_params
    try:
        if hosted and await made.connect_sessions.of_browser(hosted, made.clock()):
            request.state.back = True
        if any(len(query.getlist(name)) > 1 for name in CALLBACK_PARAMETERS):
            raise ConnectFailed(400, Trouble.INVALID_ANSWER)
        answer = Callback(query.get("state"), query.get("code"), query.get("error"), query.get("iss"), _news(query))
        arrival = await arrive(made, slug, browser, answer)
    except ConnectFailed as failure:
        return failed(request, failure)
    except StoreUnavailable:
        return unavailable(request)
    return connected(request, "page.link_done" if arrival.connection is None else "page.close")


def _news(query: QueryParams) -> dict[str, str]:
    """What the provider says beside the standards, within bounds."""
    news = [(name, value) for name, value in query.items() if name not in NO_NEWS]
    return dict([one for one in news if len(one[0]) + len(one[1]) <= LONGEST_NEWS][:MOST_NEWS])
