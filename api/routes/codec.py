"""`/codec`: the codec server of Temporal's Web UI and command line, where there are a codec and a token."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Cookie, Depends, Form, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response
from fastapi.routing import APIRoute
from google.protobuf.json_format import MessageToDict, Parse, ParseError
from temporalio.api.common.v1 import Payload, Payloads

from api.auth import GivenToken, Made
from api.codec_server import SIGNED_IN_FOR, CodecServer
from api.console.pages import page
from api.console.signed_in import ConsoleRoute, check_origin
from api.errors import ApiError, render
from api.services import Services
from store.vault import KeyInvalid

HOME = "/codec"
COOKIE = "everlink_codec"
PREFLIGHT = {
    "access-control-allow-methods": "POST",
    "access-control-allow-headers": "authorization, authorization-extras, content-type, x-namespace",
    "access-control-max-age": "600",
}

GivenCookie = Annotated[str, Cookie(alias=COOKIE)]


class WebUiRoute(APIRoute):
    """Whatever is answered, a page of the Web UI's origin can read it, and no other page can."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def readable(request: Request) -> Response:
            try:
                answer = await handle(request)
            except ApiError as error:
                answer = render(request, error)
            server: CodecServer | None = request.app.state.services.codec_server
            answer.headers.update({"cache-control": "no-store", "vary": "origin"})
            if server is not None and request.headers.get("origin") == server.web_ui_origin:
                answer.headers["access-control-allow-origin"] = server.web_ui_origin
                answer.headers["access-control-allow-credentials"] = "true"
            return answer

        return readable


pages = APIRouter(prefix=HOME, include_in_schema=False, route_class=ConsoleRoute)
router = APIRouter(prefix=HOME, include_in_schema=False, route_class=WebUiRoute)


async def existing(made: Made) -> CodecServer:
    if made.codec_server is None:
        raise ApiError(404, "not_found", "not found")
    return made.codec_server


Server = Annotated[CodecServer, Depends(existing)]


async def reader(
    request: Request, made: Made, server: Server, bearer: GivenToken, cookie: GivenCookie = ""
) -> CodecServer:
    """The server, for an operator: with the token itself, or signed in and in the Web UI.

    Raises:
        ApiError: 401 or 403.
    """
    origin = request.headers.get("origin")
    if origin is not None and origin != server.web_ui_origin:
        raise ApiError(403, "not_the_web_ui", "only Temporal's Web UI may read payloads in a browser")
    if bearer is not None and server.is_token(bearer.credentials):
        return server
    if origin is not None and server.is_signed_in(cookie, made.clock()):
        return server
    if bearer is not None:
        made.limits.count_failure(request)
    raise ApiError(401, "codec_sign_in_needed", "sign in to the codec server first")


Reader = Annotated[CodecServer, Depends(reader)]


@router.options("/decode")
@router.options("/encode")
async def preflight(_: Server) -> Response:
    return Response(None, 204, PREFLIGHT)


@router.post("/decode")
async def decode(request: Request, server: Reader) -> Response:
    """Payloads as they were before they were sealed."""
    return await _converted(request, server.codec.decode)


@router.post("/encode")
async def encode(request: Request, server: Reader) -> Response:
    """Payloads sealed, for what operators send to workflows."""
    return await _converted(request, server.codec.encode)


async def _converted(request: Request, convert: Callable[[Sequence[Payload]], Awaitable[list[Payload]]]) -> Response:
    try:
        given = Parse(await request.body(), Payloads(), ignore_unknown_fields=True)
        return JSONResponse(MessageToDict(Payloads(payloads=await convert(given.payloads))))
    except (ParseError, UnicodeDecodeError):
        raise ApiError(422, "invalid_request", "the request is not valid") from None
    except KeyInvalid as error:
        raise ApiError(422, "codec_key_invalid", str(error)) from None


@pages.get("")
async def sign_in_page(request: Request, made: Made, server: Server, cookie: GivenCookie = "") -> Response:
    """The form, or how the Web UI is told of the codec server."""
    is_signed_in = server.is_signed_in(cookie, made.clock())
    return page(request, "codec.html", {"is_signed_in": is_signed_in, "trouble": "", **_words(made)})


@pages.post("")
async def sign_in(
    request: Request, made: Made, server: Server, token: Annotated[str, Form(max_length=500)] = ""
) -> Response:
    """Trade the token for a cookie, which the Web UI shows."""
    check_origin(request, made)
    if not server.is_token(token.strip()):
        made.limits.count_failure(request)
        values = {"is_signed_in": False, "trouble": "This is not the token.", **_words(made)}
        return page(request, "codec.html", values, 401)
    response = RedirectResponse(HOME, 303)
    response.set_cookie(
        COOKIE, server.sign_in(made.clock()), max_age=int(SIGNED_IN_FOR.total_seconds()), **_attributes(made)
    )
    return response


@pages.post("/sign-out")
async def sign_out(request: Request, made: Made, _: Server) -> Response:
    check_origin(request, made)
    response = RedirectResponse(HOME, 303)
    response.delete_cookie(COOKIE, **_attributes(made))
    return response


def _words(made: Services) -> dict[str, str]:
    return {"endpoint": f"{made.settings.public_url}{HOME}", "web_ui": made.settings.web_ui_url}


def _attributes(made: Services) -> dict[str, Any]:
    """The Web UI's pages may be another site's, which take a cookie along only over TLS."""
    secure = made.settings.public_url.startswith("https:")
    return {"path": HOME, "httponly": True, "samesite": "none" if secure else "strict", "secure": secure}
