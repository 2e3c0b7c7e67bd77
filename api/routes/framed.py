"""The hosted page inside a page of a product's: the same list, by a cookie that only this frame has.

Consent takes place in a window of its own; the frame's script asks here what came of it.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Cookie, Query, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response

from api.attempts import look
from api.auth import Made
from api.connecting import ConnectFailed
from api.framing import FRAME, FRAME_COOKIE, frame_of
from api.html import SOMEWHERE, Place, failed, headers, unavailable
from api.routes.hosted import not_connected, of_browser, shown, submitted
from api.services import Services
from api.trouble import Trouble
from store.connect_sessions import ConnectSession
from store.database import StoreUnavailable

router = APIRouter(prefix=FRAME + "/{session_id}", include_in_schema=False)

Framed = Annotated[str | None, Cookie(alias=FRAME_COOKIE)]


@router.get("")
async def show(
    request: Request, made: Made, session_id: str, browser: Framed = None, connected: str | None = None
) -> HTMLResponse:
    """The linked account's applications; `connected` has just been."""
    place = SOMEWHERE
    try:
        place = await _place(made, session_id)
        session = await _session(made, session_id, browser)
        return await shown(request, made, session, place, connected=connected)
    except ConnectFailed as failure:
        return failed(request, failure, place)
    except StoreUnavailable:
        return unavailable(request, place)


@router.post("/{slug}")
async def connect(request: Request, made: Made, session_id: str, slug: str, browser: Framed = None) -> Response:
    """Connect or reconnect: a link for a window of its own, or the key that the form brings is kept."""
    place = SOMEWHERE
    try:
        place = await _place(made, session_id)
        session = await _session(made, session_id, browser)
        return await submitted(request, made, session, place, slug)
    except ConnectFailed as failure:
        return not_connected(request, failure, place)
    except StoreUnavailable:
        return not_connected(request, ConnectFailed(503, Trouble.BUSY), place)


@router.get("/attempts/{attempt_id}")
async def attempt(
    request: Request,
    made: Made,
    session_id: str,
    attempt_id: str,
    browser: Framed = None,
    wait: Annotated[float, Query(ge=0, le=60)] = 0,
) -> Response:
    """What came of the link: as soon as that is known, or as it is when the time is over."""
    try:
        session = await _session(made, session_id, browser)
    except ConnectFailed as failure:
        return not_connected(request, failure, SOMEWHERE)
    found = await look(request, made, session.scope, session.linked_account_id, attempt_id, wait)
    return JSONResponse(found.model_dump(mode="json"), headers=headers(request))


async def _place(made: Services, session_id: str) -> Place:
    """Known before the browser has shown a cookie: a frame must be able to say that it has expired."""
    session = await made.connect_sessions.of_id(session_id)
    if session is None:
        raise ConnectFailed(401, Trouble.SESSION_EXPIRED)
    return await frame_of(made, session)


async def _session(made: Services, session_id: str, browser: str | None) -> ConnectSession:
    session = await of_browser(made, browser)
    if session.id != session_id:
        raise ConnectFailed(401, Trouble.SESSION_EXPIRED)
    return session
