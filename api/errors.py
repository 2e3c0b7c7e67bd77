"""Errors as the API gives them: `{status_code, http_error_type, error_code, message, request_id}`, static-worded."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import iter_route_contexts
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from store.database import StoreUnavailable
from store.tenants import RemovalUnderWay

log = logging.getLogger("everlink.api")

CODES = {413: "body_too_large"}  # its phrase depends on Python's version
ANSWER_HEADERS = "everlink.answer_headers"  # in a request's scope: what its answer carries, whatever it is


class ErrorBody(BaseModel):
    """What every error looks like."""

    status_code: int
    http_error_type: str
    error_code: str
    message: str
    request_id: str
    details: list[dict[str, Any]] | None = None


class ApiError(Exception):
    """An error that is the caller's to know. `error_code` is stable."""

    def __init__(
        self,
        status: int,
        error_code: str,
        message: str,
        *,
        headers: Mapping[str, str] | None = None,
        **fields: Any,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.error_code = error_code
        self.message = message
        self.headers = dict(headers or {})
        self.fields = fields  # what the caller can act on


def not_found(what: str) -> ApiError:
    """Another tenant's id looks like any other that does not exist."""
    return ApiError(404, f"{what}_not_found", f"there is no such {what.replace('_', ' ')}")


def unavailable(error_code: str, message: str) -> ApiError:
    return ApiError(503, error_code, message, headers={"retry-after": "5"})


def render(request: Request, error: ApiError) -> JSONResponse:
    body = {
        "status_code": error.status,
        "http_error_type": HTTPStatus(error.status).phrase,
        "error_code": error.error_code,
        "message": error.message,
        "request_id": request.scope.get("request_id", ""),
        **error.fields,
    }
    return JSONResponse(body, error.status, headers=error.headers)


def allowed_methods(request: Request) -> str:
    """Of all routes with the address that fits: the framework tells those of one."""
    routes = [route for route in iter_route_contexts(request.app.routes) if route.path_regex is not None]
    fits = next(route.path_format for route in routes if route.path_regex.match(request.url.path))
    methods = {method for route in routes if route.path_format == fits for method in route.methods or ()}
    return ", ".join(sorted(methods))


def add_error_handlers(app: FastAPI) -> None:
    """Every failure leaves in the same shape, without a stack and without what was sent."""

    @app.exception_handler(ApiError)
    async def on_api_error(request: Request, error: ApiError) -> JSONResponse:
        return render(request, error)

    @app.exception_handler(StoreUnavailable)
    async def on_store_unavailable(request: Request, _: StoreUnavailable) -> JSONResponse:
        return render(request, unavailable("database_unavailable", "the database cannot be reached"))

    @app.exception_handler(RemovalUnderWay)
    async def on_removal(request: Request, error: RemovalUnderWay) -> JSONResponse:
        return render(request, ApiError(409, "removal_under_way", str(error)))

    @app.exception_handler(RequestValidationError)
    async def on_invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        # Where and what, never the value: it may be a secret.
        details = [
            {"loc": list(item["loc"]), "type": item["type"], "msg": item["msg"].removeprefix("Value error, ")}
            for item in error.errors()
        ]
        words = "the request is not valid"
        if ["body"] in [one["loc"] for one in details] and "json" not in request.headers.get("content-type", ""):
            words = "the body has to be JSON, with content-type: application/json"
        return render(request, ApiError(422, "invalid_request", words, details=details))

    @app.exception_handler(HTTPException)
    async def on_http_error(request: Request, error: HTTPException) -> JSONResponse:
        if error.status_code == 400:  # the framework's, for a body that is no text
            return render(request, ApiError(422, "invalid_request", "the request is not valid"))
        phrase = HTTPStatus(error.status_code).phrase
        code = CODES.get(error.status_code, phrase.lower().replace(" ", "_"))
        headers = {"allow": allowed_methods(request)} if error.status_code == 405 else error.headers or {}
        return render(request, ApiError(error.status_code, code, phrase.lower(), headers=headers))

    @app.exception_handler(Exception)
    async def on_defect(request: Request, error: Exception) -> JSONResponse:
        route = getattr(request.scope.get("route"), "path", "")  # the path itself may hold a link's secret
        request_id = request.scope.get("request_id", "")
        log.error("defect: %s at %s, request %s", type(error).__name__, route, request_id)
        answer = render(request, ApiError(500, "internal_error", "something went wrong here"))
        # It leaves from outside of all middleware.
        answer.headers.update({**request.scope.get(ANSWER_HEADERS, {}), "x-request-id": request_id})
        return answer
