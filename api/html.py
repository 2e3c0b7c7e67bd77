"""The pages that a customer reads: rendered here, without scripts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from fastapi import Cookie, Request
from fastapi.responses import HTMLResponse, Response
from fastapi.templating import Jinja2Templates

from api.auth import Made
from api.connecting import BUSY, ConnectFailed

PAGES = Path(__file__).parent / "pages"
HOSTED_COOKIE = "everlink_session"

templates = Jinja2Templates(PAGES)

Hosted = Annotated[str | None, Cookie(alias=HOSTED_COOKIE)]


def keep(response: Response, made: Made, name: str, value: str) -> None:
    """A cookie that only we read, for as long as connecting may take."""
    secure = made.settings.public_url.startswith("https:")
    response.set_cookie(name, value, max_age=3600, httponly=True, samesite="lax", secure=secure)


def failed(request: Request, failure: ConnectFailed) -> HTMLResponse:
    return message(request, failure.status, "Not connected", str(failure))


def not_set_up(request: Request) -> HTMLResponse:
    return failed(request, ConnectFailed(409, "This application is not set up here."))


def unavailable(request: Request) -> HTMLResponse:
    return failed(request, ConnectFailed(503, BUSY))


def message(request: Request, status: int, title: str, words: str, mark: str | None = None) -> HTMLResponse:
    back = getattr(request.state, "back", False)  # whether the hosted page is where the customer comes from
    mark = mark or ("good" if status < 400 else "bad")
    values = {"title": title, "words": words, "mark": mark, "back": back}
    return page(request, "message.html", values, status)


def page(
    request: Request, template: str, values: dict[str, Any], status: int = 200, referrer: str = "no-referrer"
) -> HTMLResponse:
    """A page without scripts that nobody frames, whose forms go nowhere else, and of which nothing is kept."""
    policy = "default-src 'none'; style-src 'self'; img-src data:; form-action 'self'; base-uri 'none'"
    headers = {
        "cache-control": "no-store",
        "content-security-policy": f"{policy}; frame-ancestors 'none'",
        "referrer-policy": referrer,
        "x-content-type-options": "nosniff",
    }
    return templates.TemplateResponse(request, template, values, status, headers)
