"""The product's page, the three ways to connect, and the receiver of webhooks.

Signing in is left out, and with it protection against forged requests: whoever opens the page is the customer `acme`.
In a product, the customer is who has signed in, never what a request says.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import httpx
from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse, StreamingResponse
from fastapi.staticfiles import StaticFiles
from fastapi.templating import Jinja2Templates

from everlink import Client
from examples.product.everlink_setup import set_up
from examples.product.integrations import integrations, sync
from examples.product.settings import Settings
from examples.product.story import Story
from examples.product.webhooks import Inbox

CUSTOMER = "acme"
HERE = Path(__file__).parent
PAGES = Jinja2Templates(HERE / "templates")

router = APIRouter()


@dataclass(frozen=True)
class Product:
    """What the routes share."""

    settings: Settings
    everlink: Client
    provider: httpx.AsyncClient
    inbox: Inbox
    story: Story


def create_app(settings: Settings) -> FastAPI:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with (
            Client(settings.everlink_url, settings.everlink_api_key) as everlink,
            httpx.AsyncClient(base_url=settings.sandbox_url) as provider,
        ):
            inbox = Inbox(await set_up(everlink, settings, CUSTOMER), CUSTOMER)
            app.state.product = Product(settings, everlink, provider, inbox, Story())
            yield

    app = FastAPI(lifespan=lifespan, openapi_url=None)
    app.mount("/static", StaticFiles(directory=HERE / "static"))
    app.include_router(router)
    return app


def the_product(request: Request) -> Product:
    product: Product = request.app.state.product
    return product


Ours = Annotated[Product, Depends(the_product)]


# The page


@router.get("/")
async def home() -> Response:
    return RedirectResponse("/settings/integrations")


@router.get("/settings/integrations")
async def page(request: Request, ours: Ours, status: str = "") -> HTMLResponse:
    """Customers come back to it from Everlink's page, with `?status=connected`."""
    everlink = ours.settings.everlink_url
    values = {**await shown(ours), "everlink": everlink, "is_back": status == "connected"}
    return PAGES.TemplateResponse(request, "page.html", values, headers={"content-security-policy": policy(everlink)})


@router.get("/settings/integrations/now")
async def now(request: Request, ours: Ours) -> HTMLResponse:
    """The part of the page that changes."""
    return PAGES.TemplateResponse(request, "now.html", await shown(ours))


@router.get("/settings/integrations/changes")
async def changes(ours: Ours) -> StreamingResponse:
    """Server-sent events: tells an open page to look again."""
    lines = (f"data: {change}\n\n" async for change in ours.inbox.changes())
    return StreamingResponse(lines, media_type="text/event-stream")


async def shown(ours: Product) -> dict[str, Any]:
    mine = await integrations(ours.everlink, CUSTOMER)
    received = ours.inbox.received
    return {"integrations": mine, "received": received, "step": ours.story.step(mine, received)}


def policy(everlink: str) -> str:
    """What the page may load: its own, Everlink's script, what that asks the API, and Everlink's page in a frame."""
    return (
        f"default-src 'none'; script-src 'self' {everlink}; connect-src 'self' {everlink}; frame-src {everlink}; "
        f"form-action 'self' {everlink}; style-src 'self'; img-src 'self' data:; base-uri 'none'; "
        "frame-ancestors 'none'"
    )


# The three ways


@router.post("/connect/seamless")
async def seamless(ours: Ours, response: Response) -> dict[str, str]:
    """A session token, with which everlink.js connects from this very page."""
    response.headers["cache-control"] = "no-store"
    session = await ours.everlink.linked_accounts.session_token(CUSTOMER)
    return {"token": session.token, "refreshToken": session.refresh_token}


@router.post("/connect/hosted")
async def hosted(ours: Ours) -> Response:
    """Everlink's own page, which sends the customer back here."""
    session = await ours.everlink.connect_sessions.create(CUSTOMER, return_url=ours.settings.integrations_url)
    return RedirectResponse(session.url, 303)


@router.post("/connect/embedded")
async def embedded(ours: Ours, response: Response) -> dict[str, str]:
    """The same page for `<everlink-connect>`, which frames it."""
    response.headers["cache-control"] = "no-store"
    session = await ours.everlink.connect_sessions.create(CUSTOMER, embed_origin=ours.settings.url)
    return {"session": session.session}


# What connections are for, and what becomes of them


@router.post("/sync/{slug}")
async def sync_now(ours: Ours, slug: str) -> dict[str, str]:
    return {"message": await sync(ours.everlink, ours.provider, CUSTOMER, slug)}


@router.post("/webhooks/everlink", status_code=204)
async def webhook(request: Request, response: Response, ours: Ours) -> None:
    """The body as it came: verified before anything parses it."""
    if not await ours.inbox.take(await request.body(), request.headers):
        response.status_code = 401


# Only of this example


@router.post("/play/revoke")
async def play_revoke(ours: Ours) -> dict[str, str]:
    await ours.story.revoke(ours.provider)
    await ours.inbox.tell()
    return {"message": "Ada has revoked access at the sandbox. Neither Everlink nor this product was told."}
