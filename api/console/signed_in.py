"""Who is at the console: a browser whose cookie began with an API key, seen anew in the store at each request."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Coroutine
from typing import Annotated, Any

from fastapi import Cookie, Depends, Form, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from fastapi.routing import APIRoute

from api.auth import Made
from api.console.pages import HEADERS, HOME, page, refusal
from api.errors import ApiError
from api.html import headers
from store.console_sessions import LIFETIME, ConsoleSession
from store.database import StoreUnavailable

COOKIE = "everlink_console"
NOT_OURS = "This did not come from our page. Please go back and try again."
READ_ONLY = "You signed in read-only. Sign out, and in again with changes allowed: the API key needs the scope admin."


class SignInNeeded(Exception):
    """Nobody has signed in with this browser, or that has ended."""


class Refused(Exception):
    """A page that says why not."""


class ConsoleRoute(APIRoute):
    """Whatever happens, the operator reads a page, under the same headers."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def as_page(request: Request) -> Response:
            try:
                answer = await handle(request)
            except SignInNeeded:
                answer = sign_in_form(request, 401)
            except Refused as refused:
                answer = refusal(request, 403, "Not allowed", str(refused))
            except ApiError as error:
                title = "Not found" if error.status == 404 else "This did not work"
                answer = refusal(request, error.status, title, f"{error.message.capitalize()}.")
                answer.headers.update(error.headers)
            except StoreUnavailable:
                answer = refusal(request, 503, "One moment", "The database cannot be reached. Please try again soon.")
            except RequestValidationError:
                answer = refusal(request, 422, "Not valid", "This address or form has values that there are not.")
            for name, value in headers(request, HEADERS).items():
                answer.headers.setdefault(name, value)
            return answer

        return as_page


def sign_in_form(request: Request, status: int, trouble: str = "", next_page: str | None = None) -> Response:
    """The form, which leads on to the page that was asked for."""
    asked = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    values = {
        "trouble": trouble,
        "next": next_page or (asked if request.method == "GET" else HOME),
        # The cookie is shown to no link on another site's page, though its operator may have signed in.
        "from_elsewhere": request.headers.get("sec-fetch-site") == "cross-site",
    }
    return page(request, "sign_in.html", values, status)


def keep_signed_in(response: Response, made: Made, secret: str) -> None:
    response.set_cookie(COOKIE, secret, max_age=int(LIFETIME.total_seconds()), **_attributes(made))


def forget(response: Response, made: Made) -> None:
    response.delete_cookie(COOKIE, **_attributes(made))


def _attributes(made: Made) -> dict[str, Any]:
    secure = made.settings.public_url.startswith("https:")
    return {"path": HOME, "httponly": True, "samesite": "strict", "secure": secure}


def check_origin(request: Request, made: Made) -> None:
    """Refuse a form that another site's page has sent.

    Raises:
        Refused
    """
    if request.headers.get("origin") != made.origin:
        raise Refused(NOT_OURS)


async def viewer(
    request: Request, made: Made, browser: Annotated[str | None, Cookie(alias=COOKIE)] = None
) -> ConsoleSession:
    session = await made.console_sessions.of_browser(browser, made.clock()) if browser else None
    if session is None:
        raise SignInNeeded
    made.limits.count_caller(session.api_key_id)
    request.state.console = session  # for the head of the page
    request.state.organization = await made.tenants.organization_name(session.scope)
    return session


Viewer = Annotated[ConsoleSession, Depends(viewer)]


async def sender(
    request: Request, made: Made, session: Viewer, token: Annotated[str, Form(max_length=100)] = ""
) -> ConsoleSession:
    """Who has sent a form of ours, from a page that this very session was shown."""
    check_origin(request, made)
    if not hmac.compare_digest(token.encode(), session.id.encode()):
        raise Refused(NOT_OURS)
    return session


Sender = Annotated[ConsoleSession, Depends(sender)]


async def actor(session: Sender) -> ConsoleSession:
    if not session.may_act:
        raise Refused(READ_ONLY)
    return session


Actor = Annotated[ConsoleSession, Depends(actor)]
