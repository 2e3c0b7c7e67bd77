"""The hosted page: where a customer sees what is connected, and connects and reconnects.

The link that leads there opens once. From then on a cookie is the right to it, so that no address holds it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from api.auth import Made
from api.connecting import Back, ConnectFailed, Reconnect, start_link
from api.errors import ApiError, not_found
from api.fields import of_form
from api.html import HOSTED_COOKIE, Hosted, failed, keep, leaving, page, unavailable, words_of
from api.keys import save_key
from api.lifecycle import UNIDENTIFIED, find
from api.routes.seed.lookups import enabled, living
from api.trouble import Trouble
from everlink.contract import AuthType, ConnectionStatus, ReauthReason
from providers.entry import CatalogEntry
from store.connect_sessions import ConnectSession
from store.database import StoreUnavailable
from store.tables import Connection

SESSION = "/connect/session"
router = APIRouter(include_in_schema=False)


@dataclass(frozen=True)
class Account:
    """One account of the customer's at an application."""

    connection_id: str
    name: str | None
    trouble: str | None  # why it has to be reconnected


@dataclass(frozen=True)
class Shown:
    """One application on the page."""

    entry: CatalogEntry
    accounts: list[Account]
    refusal: str | None  # what came of the customer's last try

    @property
    def broken(self) -> bool:
        return any(account.trouble for account in self.accounts)


@router.get(SESSION)
async def show(request: Request, made: Made, browser: Hosted = None) -> HTMLResponse:
    """The linked account's applications, those first that have to be reconnected."""
    try:
        return await _list(request, made, await _session(made, browser))
    except ConnectFailed as failure:
        return failed(request, failure)
    except StoreUnavailable:
        return unavailable(request)


@router.post(SESSION + "/{slug}")
async def connect(request: Request, made: Made, slug: str, browser: Hosted = None) -> Response:
    """Connect or reconnect: leave for the provider, or keep the key that the form brings."""
    try:
        session = await _session(made, browser)
        if request.headers.get("origin") != _own_origin(made):
            raise ConnectFailed(403, Trouble.FOREIGN_FORM)
        form = dict(await request.form(max_files=0))
        if form.pop("session", None) != session.id:  # another link, maybe another account's, was opened since
            raise ConnectFailed(401, Trouble.SESSION_EXPIRED)
        try:
            return await _connect(request, made, session, slug, form)
        except ApiError as error:
            return await _list(request, made, session, slug, error)
    except ConnectFailed as failure:
        return failed(request, failure)
    except StoreUnavailable:
        return unavailable(request)


@router.get("/connect/{secret}")
async def open_link(request: Request, made: Made, secret: str, browser: Hosted = None) -> Response:
    """Trade the link for a cookie. The browser that has done so may open it again: people click twice."""
    try:
        opened = await made.connect_sessions.open(secret, made.clock())
        again = browser and await made.connect_sessions.of_browser(browser, made.clock(), secret=secret)
    except StoreUnavailable:
        return unavailable(request)
    if opened is None and not again:
        return failed(request, ConnectFailed(404, Trouble.SESSION_LINK_USED))
    response = RedirectResponse(SESSION, 303, {"cache-control": "no-store", "referrer-policy": "no-referrer"})
    if opened is not None:
        keep(response, made, HOSTED_COOKIE, opened)
    return response


async def _session(made: Made, browser: str | None) -> ConnectSession:
    session = await made.connect_sessions.of_browser(browser, made.clock()) if browser else None
    if session is None:
        raise ConnectFailed(401, Trouble.SESSION_EXPIRED)
    return session


async def _connect(request: Request, made: Made, session: ConnectSession, slug: str, form: dict[str, Any]) -> Response:
    scope, account_id = session.scope, session.linked_account_id
    _, entry = await enabled(made, scope, slug)
    if entry.auth_type is not AuthType.OAUTH2:
        await save_key(made, scope, account_id, entry, of_form(form))
        return RedirectResponse(SESSION, 303)
    reconnect = None
    if "connection" in form:
        row = await find(made, scope, str(form.pop("connection")))
        if (row.linked_account_id, row.slug) != (account_id, slug):
            raise not_found("connection")
        reconnect = Reconnect(row.id)
    back = Back(session.id, session.wishes.return_url, session.wishes.locale)
    attempt = await start_link(made, scope, account_id, entry, of_form(form), reconnect, back)
    answer = leaving(request, entry.name)
    answer.headers["refresh"] = f"0; url={attempt.url}"  # a redirect would be the form's own, which goes nowhere else
    return answer


async def _list(
    request: Request,
    made: Made,
    session: ConnectSession,
    slug: str | None = None,
    error: ApiError | None = None,
) -> HTMLResponse:
    """The page; `error` is what came of the customer's try with the application of this slug."""
    connections = await living(made, session.scope, session.linked_account_id)
    shown = []
    for application in await made.tenants.applications(session.scope):
        entry = await made.entry(session.scope, application.slug)
        if entry is None:
            continue
        mine = [row for row in connections if row.slug == entry.slug and row.status != ConnectionStatus.PENDING]
        refusal = _words(request, entry, error) if error is not None and slug == entry.slug else None
        shown.append(Shown(entry, [_account(row) for row in mine], refusal))
    shown.sort(key=lambda one: (not one.broken, one.entry.name))
    account = await made.tenants.linked_account(session.scope, session.linked_account_id)
    values = {
        "organization": await made.tenants.organization_name(session.scope),
        "account": account.name if account else None,
        "session": session.id,
        "applications": shown,
    }
    # With less of a referrer policy, a browser would not say where a form comes from.
    return page(request, "session.html", values, error.status if error else 200, "same-origin")


def _account(row: Connection) -> Account:
    name = None if row.identifier == UNIDENTIFIED else row.display_name or row.identifier
    trouble = None
    if row.status == ConnectionStatus.REAUTH_REQUIRED:
        trouble = ReauthReason(row.reason).words if row.reason else "it has to be connected again"
    return Account(row.id, name, trouble)


def _words(request: Request, entry: CatalogEntry, error: ApiError) -> str:
    if error.status == 503:
        return words_of(request)("trouble.busy")
    if error.error_code == "application_not_configured":
        return "This application is not set up here."
    if error.error_code == "invalid_fields":
        named = {*error.fields.get("missing", ()), *error.fields.get("wrong", ())}
        labels = ", ".join(field.label for field in entry.fields if field.name in named)
        if labels:
            return f"Please check what you typed in: {labels}."
    return f"{error.message.capitalize()}."


def _own_origin(made: Made) -> str:
    address = urlsplit(made.settings.public_url)
    return f"{address.scheme}://{address.netloc}"
