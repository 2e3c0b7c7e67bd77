"""The ways out of the hosted page: where its customer stands, and where they go when something is connected."""

from __future__ import annotations

from urllib.parse import urlencode

from api.brand import look_of
from api.cards import cards_of
from api.html import Place
from api.return_urls import with_outcome
from api.services import Services
from store.connect_sessions import ConnectSession


async def place_of(made: Services, session: ConnectSession) -> Place:
    wishes = session.wishes
    look = await look_of(made, session.scope)
    return Place(look, wishes.locale, has_list=True, return_url=wishes.return_url)


async def next_url(made: Services, session: ConnectSession, place: Place, slug: str, connection_id: str) -> str:
    """Back to the product, unless there is no way or something on the page still needs the customer: to the page."""
    if place.return_url is not None and not (await cards_of(made, session)).broken:
        return with_outcome(place.return_url, slug, connection_id)
    return f"{place.here}?{urlencode({'connected': slug})}"
