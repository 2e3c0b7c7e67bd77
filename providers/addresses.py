"""The addresses in a catalog entry that requests go to."""

from __future__ import annotations

from collections.abc import Iterator

import httpx

from providers.guard import TargetGuard
from providers.rules import Part
from providers.templates import PLACE, host

Place = tuple[str | int, ...]


def addresses(part: Part, at: Place = ()) -> Iterator[tuple[Place, str]]:
    """Every value that is named `url` or `..._url`, with where it stands."""
    for name, value in part:
        for place, one in enumerate(value) if isinstance(value, tuple) else ((None, value),):
            here = (*at, name) if place is None else (*at, name, place)
            if isinstance(one, Part):
                yield from addresses(one, here)
            elif isinstance(one, str) and (name == "url" or name.endswith("_url")):
                yield here, one


async def refusal(guard: TargetGuard, url: str) -> str | None:
    """Why no request may go to an address, as far as that can be said before there is one; None: it may.

    A host that a customer or the provider itself completes is looked at when a request goes there.
    """
    if PLACE.match(url):
        return None
    try:
        plain = httpx.URL(PLACE.sub("place", url))
    except httpx.InvalidURL:
        return "it is no address"
    if plain.scheme != "https" and not guard.allows(plain.host):
        return "it has to begin with https://"
    if PLACE.search(host(url)):
        return None
    return await guard.refusal(plain.host, plain.port or (443 if plain.scheme == "https" else 80))
