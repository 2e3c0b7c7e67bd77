"""The pages that a customer reads: rendered here, without scripts."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

from fastapi import Cookie, Request
from fastapi.responses import HTMLResponse, Response
from fastapi.templating import Jinja2Templates

from api.auth import Made
from api.connecting import ConnectFailed
from api.trouble import Trouble
from api.wording import Words

PAGES = Path(__file__).parent / "pages"
HOSTED_COOKIE = "everlink_session"


class Mark(StrEnum):
    """What a message is, as its picture shows it."""

    GOOD = "good"
    BAD = "bad"
    AWAY = "away"


templates = Jinja2Templates(PAGES)

Hosted = Annotated[str | None, Cookie(alias=HOSTED_COOKIE)]


def keep(response: Response, made: Made, name: str, value: str) -> None:
    """A cookie that only we read, for as long as connecting may take."""
    secure = made.settings.public_url.startswith("https:")
    response.set_cookie(name, value, max_age=3600, httponly=True, samesite="lax", secure=secure)


def words_of(request: Request) -> Words:
    return Words.of(getattr(request.state, "locale", None), request.headers.get("accept-language"))


def failed(request: Request, failure: ConnectFailed) -> HTMLResponse:
    words = words_of(request)
    text = words(f"trouble.{failure.trouble}", **failure.details)
    return message(request, failure.status, words("page.not_connected"), text, Mark.BAD)


def connected(request: Request, key: str) -> HTMLResponse:
    words = words_of(request)
    return message(request, 200, words("page.connected"), words(key), Mark.GOOD)


def leaving(request: Request, application: str) -> HTMLResponse:
    words = words_of(request)
    text = words("page.leaving_words", application=application)
    return message(request, 200, words("page.leaving"), text, Mark.AWAY)


def disconnected(request: Request, status: int) -> HTMLResponse:
    words = words_of(request)
    return message(request, status, words("page.disconnected"), words("page.close_page"), Mark.GOOD)


def unavailable(request: Request) -> HTMLResponse:
    return failed(request, ConnectFailed(503, Trouble.BUSY))


def message(request: Request, status: int, title: str, text: str, mark: Mark) -> HTMLResponse:
    back = getattr(request.state, "back", False)  # whether the hosted page is where the customer comes from
    values = {"title": title, "text": text, "mark": mark, "back": back}
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
    values = {**values, "words": words_of(request)}
    return templates.TemplateResponse(request, template, values, status, headers)
