"""The browser's side of connecting: the link that starts it, the provider's callback, and what the customer reads."""

from __future__ import annotations

import secrets
from typing import Annotated

from fastapi import APIRouter, Cookie, Request
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse, Response
from starlette.datastructures import QueryParams

from api.auth import Made
from api.connecting import Callback, ConnectFailed, arrive, depart
from api.errors import ApiError
from api.html import PAGES, Hosted, failed, keep, message, not_set_up, unavailable
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
            raise ConnectFailed(404, "This link has expired. Please start again.")
        if ticket.used:
            return _used(request)
        browser = browser or secrets.token_urlsafe(24)
        response = RedirectResponse(await depart(made, ticket, browser), 303)
    except ConnectFailed as failure:
        return failed(request, failure)
    except ApiError:
        return not_set_up(request)
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
            raise ConnectFailed(400, "The provider's answer is not valid. Please start again.")
        answer = Callback(query.get("state"), query.get("code"), query.get("error"), query.get("iss"), _news(query))
        connected = await arrive(made, slug, browser, answer)
    except ConnectFailed as failure:
        return failed(request, failure)
    except ApiError:
        return not_set_up(request)
    except StoreUnavailable:
        return unavailable(request)
    if connected is None:
        return _used(request)
    return message(request, 200, "Connected", "You can close this window.")


def _news(query: QueryParams) -> dict[str, str]:
    """What the provider says beside the standards, within bounds."""
    news = [(name, value) for name, value in query.items() if name not in NO_NEWS]
    return dict([one for one in news if len(one[0]) + len(one[1]) <= LONGEST_NEWS][:MOST_NEWS])


def _used(request: Request) -> HTMLResponse:
    return message(request, 200, "Connected", "This link has done its work. You can close this window.")
