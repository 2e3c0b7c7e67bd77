"""The client's part that concerns what an organization decides for one of its environments."""

from __future__ import annotations

from collections.abc import Iterable

from everlink.client.transport import Transport
from everlink.models import Settings as Decided

SETTINGS = "/v1/settings"


class Settings:
    """`client.settings`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def get(self) -> Decided:
        return await self._transport.get(SETTINGS, Decided)

    async def change(
        self,
        *,
        allowed_origins: Iterable[str] | None = None,
        reminder_days: Iterable[float] | None = None,
        return_urls: Iterable[str] | None = None,
        brand_colour: str | None = None,
        logo: str | None = None,
    ) -> Decided:
        """What is not given stays as it is; an empty `brand_colour` or `logo` takes it away.

        Args:
            allowed_origins: whose pages may use session tokens, and frame the page where customers connect.
            reminder_days: how many days after `Connection Expired` to remind of it.
            return_urls: where that page may send customers back to.
            brand_colour: of the pages that customers see, `#rrggbb`.
            logo: at their top, a `data:` address.
        """
        given = {
            "allowed_origins": None if allowed_origins is None else list(allowed_origins),
            "reminder_days": None if reminder_days is None else list(reminder_days),
            "return_urls": None if return_urls is None else list(return_urls),
            "brand_colour": brand_colour,
            "logo": logo,
        }
        body = {name: None if value == "" else value for name, value in given.items() if value is not None}
        return await self._transport.ask("PUT", SETTINGS, Decided, json=body)
