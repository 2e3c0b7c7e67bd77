"""The hosted page: where a customer sees what is connected, and connects and reconnects.

The link that leads there opens once. From then on a cookie is the right to it, so that no address holds it.
"""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from api.auth import Made
from api.cards import cards_of, shows
from api.connecting import Back, ConnectFailed, Reconnect, reconnect_of, start_link
from api.errors import ApiError, not_found, render
from api.fields import of_form
from api.framing import frame_of, in_frame, open_in_frame, window_link
from api.html import (
    HOSTED_COOKIE,
    SESSION,
    SOMEWHERE,
    Hosted,
    Place,
    failed,
    headers,
    keep,
    leaving,
    page,
    returning,
    timed,
    unavailable,
    words_of,
)
from api.keys import save_key
from api.refusals import Refusal, refusal
from api.routes.seed.lookups import enabled
from api.services import Services
from api.trouble import Trouble
from api.ways import next_url, place_of
from everlink.contract import AuthType
from everlink.models import AttemptLink
from providers.entry import CatalogEntry
from store.connect_sessions import ConnectSession
from store.database import StoreUnavailable

Form = dict[str, str]

router = APIRouter(include_in_schema=False)


@router.get(SESSION)
async def show(request: Request, made: Made, browser: Hosted = None, connected: str | None = None) -> HTMLResponse:
    """The linked account's applications, those first that have to be reconnected; `connected` has just been."""
    try:
        session = await of_browser(made, browser)
        return await shown(request, made, session, await place_of(made, session), connected=connected)
    except ConnectFailed as failure:
        return failed(request, failure)
    except StoreUnavailable:
        return unavailable(request)


@router.post(SESSION + "/{slug}")
async def connect(request: Request, made: Made, slug: str, browser: Hosted = None) -> Response:
    """Connect or reconnect: leave for the provider, or keep the key that the form brings."""
    place = SOMEWHERE
    try:
        session = await of_browser(made, browser)
        place = await place_of(made, session)
        return await submitted(request, made, session, place, slug)
    except ConnectFailed as failure:
        return not_connected(request, failure, place)
    except StoreUnavailable:
        return not_connected(request, ConnectFailed(503, Trouble.BUSY), place)


@router.get("/connect/{secret}")
async def open_link(request: Request, made: Made, secret: str, browser: Hosted = None) -> Response:
    """Trade the link for a cookie. The browser that has done so may open it again: people click twice."""
    try:
        framed = await made.connect_sessions.of_link(secret) if in_frame(request) else None
        if framed is not None:
            return await open_in_frame(request, made, framed, await frame_of(made, framed), secret)
        opened = await made.connect_sessions.open(secret, made.clock())
        again = browser and await made.connect_sessions.of_browser(browser, made.clock(), secret=secret)
        if opened is None and not again:
            raise ConnectFailed(404, Trouble.SESSION_LINK_USED)
    except ConnectFailed as failure:
        return failed(request, failure)
    except StoreUnavailable:
        return unavailable(request)
    response = RedirectResponse(SESSION, 303, headers(request))
    if opened is not None:
        keep(response, made, HOSTED_COOKIE, opened)
    return response


async def of_browser(made: Services, browser: str | None) -> ConnectSession:
    """The session of the browser that holds this cookie.

    Raises:
        ConnectFailed: it is over.
    """
    session = await made.connect_sessions.of_browser(browser, made.clock()) if browser else None
    if session is None:
        raise ConnectFailed(401, Trouble.SESSION_EXPIRED)
    return session


async def submitted(request: Request, made: Services, session: ConnectSession, place: Place, slug: str) -> Response:
    """What came of a form. The page's script asks for JSON, and stays where it is; a browser without it gets a page.

    Raises:
        ConnectFailed: the form is none of the session's page.
    """
    form = await _form(request, made, session)
    card_id, entry = form.get("connection", slug), None
    try:
        entry = await _entry(made, session, slug)
        return await _connect(request, made, session, place, entry, form)
    except ApiError as error:
        refused = refusal(error, card_id, entry, form, words_of(request, place))
        return await _refuse(request, made, session, place, refused)


async def _form(request: Request, made: Services, session: ConnectSession) -> Form:
    """What was sent, if it was by our own page for this session."""
    if request.headers.get("origin") != made.origin:
        raise ConnectFailed(403, Trouble.FOREIGN_FORM)
    sent = await request.form(max_files=0)
    form = {name: value for name, value in sent.items() if isinstance(value, str)}
    if form.pop("session", None) != session.id:  # another link, maybe another account's, was opened since
        raise ConnectFailed(401, Trouble.SESSION_EXPIRED)
    return form


async def _entry(made: Services, session: ConnectSession, slug: str) -> CatalogEntry:
    if not shows(session, slug):
        raise not_found("application")
    _, entry = await enabled(made, session.scope, slug)
    return entry


async def _connect(
    request: Request, made: Services, session: ConnectSession, place: Place, entry: CatalogEntry, form: Form
) -> Response:
    fields = of_form({name: value for name, value in form.items() if name != "connection"})
    reconnect = None
    if "connection" in form:
        reconnect = await reconnect_of(made, session.scope, session.linked_account_id, entry.slug, form["connection"])
    if entry.auth_type is AuthType.OAUTH2:
        return _leave(request, place, entry, await _start(made, session, place, entry, fields, reconnect))
    mended = reconnect.connection_id if reconnect else None
    view = await save_key(made, session.scope, session.linked_account_id, entry, fields, connection_id=mended)
    url = await next_url(made, session, place, entry.slug, view.connection_id)
    if _by_script(request):
        return JSONResponse({"connection_id": view.connection_id, "next": url}, 201, headers(request))
    if url.startswith(place.here):
        return RedirectResponse(url, 303, headers(request))
    return returning(request, entry.name, url, place)


async def _start(
    made: Services,
    session: ConnectSession,
    place: Place,
    entry: CatalogEntry,
    fields: Form,
    reconnect: Reconnect | None,
) -> AttemptLink:
    back = Back(session.id, place.return_url, place.locale)
    return await start_link(made, session.scope, session.linked_account_id, entry, fields, reconnect, back)


def _leave(request: Request, place: Place, entry: CatalogEntry, link: AttemptLink) -> Response:
    if _by_script(request):
        return JSONResponse({"id": link.id, "connect_url": link.connect_url}, 201, headers(request))
    if place.embed_origin:  # sent before its script was there: providers refuse to be framed
        text = words_of(request, place)("frame.consent_text", application=entry.name)
        return window_link(request, place, link.connect_url, text, back=True)
    return leaving(request, entry.name, link.connect_url, place)


async def _refuse(
    request: Request, made: Services, session: ConnectSession, place: Place, refused: Refusal
) -> Response:
    if _by_script(request):
        return render(request, ApiError(refused.status, refused.code, refused.words, fields=refused.fields))
    return await shown(request, made, session, place, refused)


def not_connected(request: Request, failure: ConnectFailed, place: Place) -> Response:
    """A failure as whoever asks can read it."""
    if not _by_script(request):
        return failed(request, failure, place)
    text = words_of(request, place)(failure.text, **failure.details)
    return render(request, ApiError(failure.status, failure.trouble, text))


async def shown(
    request: Request,
    made: Services,
    session: ConnectSession,
    place: Place,
    refused: Refusal | None = None,
    connected: str | None = None,
) -> HTMLResponse:
    """The page, with what came of the customer's last try."""
    cards = await cards_of(made, session)
    account = await made.tenants.linked_account(session.scope, session.linked_account_id)
    values = {
        "account": account.name if account else None,
        "cards": cards,
        "notice": next((card.entry.name for card in cards.connected if card.entry.slug == connected), None),
        "refused": refused,
        "session": session.id,
        "timed": timed(words_of(request, place), made.clock()),
    }
    status = refused.status if refused else 200
    more = {"referrer-policy": "same-origin"}  # with less of it, a browser would not say where a form comes from
    return page(request, "session.html", values, status, place, more)


def _by_script(request: Request) -> bool:
    return request.headers.get("accept") == "application/json"
