"""The pages that a customer reads: rendered here, each whole without a script."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

from fastapi import Cookie, Request
from fastapi.responses import HTMLResponse, Response
from fastapi.templating import Jinja2Templates
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from api.auth import Made
from api.brand import Look
from api.connecting import ConnectFailed
from api.trouble import Trouble
from api.wording import Words

PAGES = Path(__file__).parent / "pages"
FILES = ("style.css", "page.js", "frame.js", "close.js")
HOSTED_COOKIE = "everlink_session"
SESSION = "/connect/session"
# In the addresses of the files, so that a browser keeps them until they change.
VERSION = sha256(b"".join((PAGES / name).read_bytes() for name in FILES)).hexdigest()[:12]
NOBODY = "'none'"
EXPIRED = (Trouble.LINK_EXPIRED, Trouble.SESSION_LINK_USED, Trouble.SESSION_EXPIRED)
NO_MORE: Mapping[str, str] = MappingProxyType({})
# Nothing is kept, framed, or seen by the pages of another site.
HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
# On the way to a provider and back a page may be in a pop-up that the product watches: it keeps its opener.
WATCHED = ("/connect/start/", "/api/v1/")

templates = Jinja2Templates(
    env=Environment(
        loader=FileSystemLoader(PAGES), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
)

Hosted = Annotated[str | None, Cookie(alias=HOSTED_COOKIE)]


class Mark(StrEnum):
    """What a message is, as its picture shows it."""

    GOOD = "good"
    BAD = "bad"
    AWAY = "away"


@dataclass(frozen=True)
class Place:
    """Where a customer reads a page: whose it is, in which language, and which ways lead out of it."""

    look: Look | None = None
    locale: str | None = None  # none: as the browser asks
    has_list: bool = False  # the list of their applications is open to them
    return_url: str | None = None
    here: str = SESSION  # the list's address
    embed_origin: str | None = None  # of the page that frames this one


SOMEWHERE = Place()


def keep(response: Response, made: Made, name: str, value: str) -> None:
    """A cookie that only we read, for as long as connecting may take."""
    secure = made.settings.public_url.startswith("https:")
    response.set_cookie(name, value, max_age=3600, httponly=True, samesite="lax", secure=secure)


def headers(request: Request, more: Mapping[str, str] = NO_MORE) -> dict[str, str]:
    """What a browser is told with whatever it gets of us."""
    watched = {"cross-origin-opener-policy": "unsafe-none"} if request.url.path.startswith(WATCHED) else NO_MORE
    return {**HEADERS, **watched, **more}


def timed(words: Words, now: datetime) -> Callable[[datetime], Markup]:
    """Says how long ago something was, with the moment itself for machines and on a pointer's hover."""
    element = Markup('<time datetime="{}" title="{}">{}</time>')
    return lambda moment: element.format(moment.isoformat(), words.moment(moment), words.ago(moment, now))


def words_of(request: Request, place: Place = SOMEWHERE) -> Words:
    return Words.of(place.locale, request.headers.get("accept-language"))


def failed(request: Request, failure: ConnectFailed, place: Place = SOMEWHERE) -> HTMLResponse:
    words = words_of(request, place)
    text = words(failure.text, **failure.details)
    title = words("page.expired" if failure.trouble in EXPIRED else "page.not_connected")
    return message(request, failure.status, title, text, Mark.BAD, place, failure.trouble)


def connected(request: Request, application: str, place: Place, *, closes: bool = False) -> HTMLResponse:
    """The end; `closes` where another page of ours has opened this window, and shows by itself what came of it."""
    words = words_of(request, place)
    text = f"{words('page.connected_text', application=application)} {words('page.close')}"
    return message(request, 200, words("page.connected"), text, Mark.GOOD, place, closes=closes)


def link_done(request: Request, place: Place) -> HTMLResponse:
    words = words_of(request, place)
    return message(request, 200, words("page.connected"), words("page.link_done"), Mark.GOOD, place)


def leaving(request: Request, application: str, url: str, place: Place) -> HTMLResponse:
    """On the way to a provider. A redirect would be the form's own, which goes nowhere else."""
    words = words_of(request, place)
    text = words("page.leaving_words", application=application)
    answer = message(request, 200, words("page.leaving"), text, Mark.AWAY, replace(place, has_list=False))
    answer.headers["refresh"] = f"0; url={url}"
    return answer


def returning(request: Request, application: str, url: str, place: Place) -> HTMLResponse:
    """On the way back to the product, by the same means."""
    words = words_of(request, place)
    text = words("page.connected_text", application=application)
    there = replace(place, has_list=False, return_url=url)
    answer = message(request, 200, words("page.connected"), text, Mark.GOOD, there)
    answer.headers["refresh"] = f"1; url={url}"
    return answer


def disconnected(request: Request, status: int) -> HTMLResponse:
    words = words_of(request)
    return message(request, status, words("page.disconnected"), words("page.close_page"), Mark.GOOD, SOMEWHERE)


def unavailable(request: Request, place: Place = SOMEWHERE) -> HTMLResponse:
    return failed(request, ConnectFailed(503, Trouble.BUSY), place)


def message(
    request: Request,
    status: int,
    title: str,
    text: str,
    mark: Mark,
    place: Place,
    trouble: Trouble | None = None,
    *,
    closes: bool = False,
) -> HTMLResponse:
    values = {"title": title, "text": text, "mark": mark, "trouble": trouble, "closes": closes}
    return page(request, "message.html", values, status, place)


def page(
    request: Request,
    template: str,
    values: dict[str, Any],
    status: int = 200,
    place: Place = SOMEWHERE,
    more: Mapping[str, str] = NO_MORE,
) -> HTMLResponse:
    """A page that only its place frames, whose forms and scripts go nowhere else, and of which nothing is kept."""
    nonce = secrets.token_urlsafe(16) if place.look and place.look.colours else None
    style = f"style-src 'self' 'nonce-{nonce}'" if nonce else "style-src 'self'"
    policy = f"default-src 'none'; script-src 'self'; {style}; img-src data: 'self'; connect-src 'self'"
    policy += f"; form-action 'self'; base-uri 'none'; frame-ancestors {place.embed_origin or NOBODY}"
    words = words_of(request, place)
    said = {"content-security-policy": policy, "content-language": words.language, **more}
    own = {"words": words, "nonce": nonce, "version": VERSION, **vars(place)}
    return templates.TemplateResponse(request, template, {**values, **own}, status, headers(request, said))
