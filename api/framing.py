"""Pages of ours inside a page of a product's: who may frame them, and cookies that a browser keeps in frames.

Such a cookie is partitioned (CHIPS): it is there in frames of the site that it was set in, and nowhere else. Some
browsers keep none at all; that is found out by a cookie without a meaning, before the link is spent.
"""

from __future__ import annotations

from fastapi import Request
from fastapi.responses import RedirectResponse, Response

from api.brand import look_of
from api.connecting import ConnectFailed
from api.html import Place, headers, page, words_of
from api.services import Services
from api.trouble import Trouble
from store.connect_sessions import SESSION_LIFETIME, ConnectSession

FRAME = "/connect/frame"  # and the session's id: a browser may have several of them in its tabs
FRAME_COOKIE = "everlink_frame"
PROBE_COOKIE = "everlink_probe"
PROBED = "probed"


def in_frame(request: Request) -> bool:
    """Whether the browser loads this into a frame: all that keep partitioned cookies say so."""
    return request.headers.get("sec-fetch-dest") == "iframe"


def page_of(session: ConnectSession) -> str:
    return f"{FRAME}/{session.id}"


async def frame_of(made: Services, session: ConnectSession) -> Place:
    """The frame that the product wants the session's page in. Nothing leads out of it.

    Raises:
        ConnectFailed: the organization allows no such frame, or not any more.
    """
    origin = session.wishes.embed_origin
    if origin is None or origin not in (await made.tenants.settings(session.scope)).allowed_origins:
        raise ConnectFailed(403, Trouble.FRAME_NOT_ALLOWED)
    look = await look_of(made, session.scope)
    return Place(look, session.wishes.locale, here=page_of(session), embed_origin=origin)


async def open_in_frame(
    request: Request, made: Services, session: ConnectSession, place: Place, secret: str
) -> Response:
    """Trade the link for a cookie, as soon as it is known that the browser keeps one; otherwise it stays unspent.

    Where the link was opened before, maybe by this very browser, its page knows whether it may be shown again.
    """
    if PROBE_COOKIE in request.cookies:
        browser = await made.connect_sessions.open(secret, made.clock())
        response = RedirectResponse(page_of(session), 303, headers(request))
        if browser is not None:
            _keep(response, FRAME_COOKIE, browser, page_of(session), int(SESSION_LIFETIME.total_seconds()))
        return response
    if PROBED in request.query_params:
        text = words_of(request, place)("frame.own_window_text")
        return window_link(request, place, f"/connect/{secret}", text, back=False)
    response = RedirectResponse(f"/connect/{secret}?{PROBED}", 303, headers(request))
    _keep(response, PROBE_COOKIE, "1", "/connect", 60)
    return response


def window_link(request: Request, place: Place, link: str, text: str, *, back: bool) -> Response:
    """What cannot take place in a frame, by a plain link; `back` to the list."""
    return page(request, "window.html", {"link": link, "text": text, "back": back}, place=place)


def _keep(response: Response, name: str, value: str, path: str, seconds: int) -> None:
    # By hand: Python's own cookies know `Partitioned` only from 3.14 on.
    flags = "HttpOnly; Secure; SameSite=None; Partitioned"
    response.headers.append("set-cookie", f"{name}={value}; Path={path}; Max-Age={seconds}; {flags}")
