"""The browser's side of connecting: the link that starts it, the provider's callback, and what the customer reads."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Cookie, Request
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse, Response
from fastapi.templating import Jinja2Templates

from api.auth import Made
from api.connecting import BUSY, Callback, ConnectFailed, arrive, depart
from api.errors import ApiError
from store.database import StoreUnavailable

PAGES = Path(__file__).parent.parent / "pages"
BROWSER_COOKIE = "everlink_browser"
CALLBACK_PARAMETERS = ("state", "code", "error", "iss")

router = APIRouter(include_in_schema=False)
templates = Jinja2Templates(PAGES)

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
        return _failed(request, failure)
    except ApiError:
        return _not_set_up(request)
    except StoreUnavailable:
        return _unavailable(request)
    response.set_cookie(
        BROWSER_COOKIE,
        browser,
        max_age=3600,
        httponly=True,
        samesite="lax",
        secure=made.settings.public_url.startswith("https:"),
    )
    return response


@router.get("/api/v1/{slug}/callback")
async def callback(request: Request, made: Made, slug: str, browser: Browser = None) -> HTMLResponse:
    """The provider's answer (RFC 6749 section 4.1.2). A parameter that comes twice is refused."""
    query = request.query_params
    try:
        if any(len(query.getlist(name)) > 1 for name in CALLBACK_PARAMETERS):
            raise ConnectFailed(400, "The provider's answer is not valid. Please start again.")
        answer = Callback(query.get("state"), query.get("code"), query.get("error"), query.get("iss"))
        connected = await arrive(made, slug, browser, answer)
    except ConnectFailed as failure:
        return _failed(request, failure)
    except ApiError:
        return _not_set_up(request)
    except StoreUnavailable:
        return _unavailable(request)
    if connected is None:
        return _used(request)
    return _page(request, 200, "Connected", "You can close this window.")


def _used(request: Request) -> HTMLResponse:
    return _page(request, 200, "Connected", "This link has done its work. You can close this window.")


def _failed(request: Request, failure: ConnectFailed) -> HTMLResponse:
    return _page(request, failure.status, "Not connected", str(failure))


def _not_set_up(request: Request) -> HTMLResponse:
    return _failed(request, ConnectFailed(409, "This application is not set up here."))


def _unavailable(request: Request) -> HTMLResponse:
    return _failed(request, ConnectFailed(503, BUSY))


def _page(request: Request, status: int, title: str, words: str) -> HTMLResponse:
    values = {"title": title, "words": words, "mark": "good" if status < 400 else "bad"}
    headers = {
        "cache-control": "no-store",
        "content-security-policy": "default-src 'none'; style-src 'self'; frame-ancestors 'none'",
        "referrer-policy": "no-referrer",
        "x-content-type-options": "nosniff",
    }
    return templates.TemplateResponse(request, "message.html", values, status, headers)
