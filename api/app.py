"""The API application."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

from fastapi import Depends, FastAPI
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.cors import Cors
from api.description import DESCRIPTION, ERRORS, DescribedApi
from api.errors import ErrorBody, add_error_handlers
from api.etags import ETags
from api.idempotency import add_idempotency
from api.inputs import MAX_BODY_BYTES, plain_address
from api.limits import Limits
from api.routes import ROUTERS
from api.services import open_services
from store.settings import Settings


class RequestId:
    """Gives every request an id, which its answer and its error carry."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope["request_id"] = request_id = uuid4().hex

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"].append((b"x-request-id", request_id.encode()))
            await send(message)

        await self._app(scope, receive, send_with_id)


def create_app(settings: Settings | None = None) -> FastAPI:
    """Build the application; what it needs is opened when it starts."""
    chosen = settings or Settings()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_services(chosen) as made:
            app.state.services = made
            yield

    app = DescribedApi(
        title="Everlink",
        version="0.1.0",
        description=DESCRIPTION + ERRORS,
        lifespan=lifespan,
        dependencies=[Depends(plain_address)],
        responses={422: {"model": ErrorBody}},
    )
    add_error_handlers(app)
    # The last one added is the first to see a request.
    app.add_middleware(ETags)
    add_idempotency(app)
    app.add_middleware(RequestBodyLimitMiddleware, max_body_size=MAX_BODY_BYTES)
    app.add_middleware(Limits)
    app.add_middleware(Cors, routers=ROUTERS)
    app.add_middleware(RequestId)
    for router in ROUTERS:
        app.include_router(router)
    return app
