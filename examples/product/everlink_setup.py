"""What Everlink has to know of this product. All of it can be said again and again: it is, at every start."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path

from everlink import Client
from everlink.contract import EventType
from examples.product.settings import Settings

LOGO = Path(__file__).parent / "static" / "logo.svg"
BRAND_COLOUR = "#0f766e"
EVENTS = (EventType.CREATED, EventType.EXPIRED, EventType.REAUTHENTICATED, EventType.DELETED)


async def set_up(everlink: Client, settings: Settings, customer: str) -> str:
    """Tell Everlink; answers the secret that verifies its webhooks."""
    # Your client at the provider, as the provider gave it to you.
    await everlink.applications.enable("sandbox", client_id="everlink-sandbox", client_secret="sandbox-secret")
    # Your customer, under your own id. A product does this when the customer signs up.
    await everlink.linked_accounts.save(customer, name="Acme Inc.")
    await everlink.settings.change(
        allowed_origins=[settings.url],  # whose pages may use session tokens, and frame Everlink's
        return_urls=[settings.integrations_url],  # where Everlink's page may send customers
        brand_colour=BRAND_COLOUR,
        logo=f"data:image/svg+xml;base64,{b64encode(LOGO.read_bytes()).decode()}",
    )
    return await webhook_secret(everlink, settings.webhook_url)


async def webhook_secret(everlink: Client, url: str) -> str:
    """A product adds its endpoint once and keeps the secret; this one keeps nothing, and asks for another instead."""
    for endpoint in await everlink.webhook_endpoints.all():
        if endpoint.url == url:
            return (await everlink.webhook_endpoints.rotate_secret(endpoint.id, overlap_seconds=0)).secret
    return (await everlink.webhook_endpoints.add(url, EVENTS)).secret
