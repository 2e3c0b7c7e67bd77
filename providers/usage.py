"""How a product's own requests use a credential: what they carry, and which answers refuse it. The probe shows both."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from urllib.parse import parse_qsl, urlsplit

import httpx

from everlink.answers import Refusal
from providers.credential import Credential, OAuthCredential
from providers.entry import CatalogEntry, Probe
from providers.rules import DeadRule
from providers.templates import CannotFill, fill, fill_all, fill_headers, names

BEARER = {"Authorization": "Bearer {access_token}"}  # RFC 6750 section 2.1
UNAUTHORIZED = Refusal(status=401)  # RFC 9110 section 15.5.2


@dataclass(frozen=True)
class Carried:
    """What a request carries, so that the provider accepts it."""

    headers: dict[str, str] = field(default_factory=dict, repr=False)
    query: dict[str, str] = field(default_factory=dict, repr=False)


def carried(entry: CatalogEntry | None, credential: Credential) -> Carried:
    """What of the probe comes from the credential; a bearer token where it says nothing of that.

    Nothing at all of a key that stands in the probe's path or body only, and of one that no request can carry.
    """
    found = Carried()
    try:
        if entry is not None and entry.probe is not None:
            found = _of_probe(entry.probe, credential.values())
        if not found.headers and not found.query and isinstance(credential, OAuthCredential):
            found = Carried(fill_headers(BEARER, credential.values()))
    except CannotFill:
        return Carried()
    return found


def refusals(entry: CatalogEntry | None) -> list[Refusal]:
    """The answers by which the provider refuses a credential."""
    return list(_refusals(entry.probe.dead)) if entry is not None and entry.probe is not None else [UNAUTHORIZED]


def secret_fields(entry: CatalogEntry | None, credential: Credential) -> list[str]:
    """Which of a key's fields are secret: what is typed in unseen; all where nothing is known."""
    if isinstance(credential, OAuthCredential):
        return []
    shown = {one.name for one in entry.fields if one.type != "password"} if entry is not None else set[str]()
    return [name for name in credential.fields if name not in shown]


@lru_cache(1000)  # a token is read often, and most applications have the same rules
def _refusals(rules: tuple[DeadRule, ...]) -> tuple[Refusal, ...]:
    return tuple(Refusal.model_validate(rule) for rule in rules)


def _of_probe(probe: Probe, values: dict[str, str]) -> Carried:
    headers = fill_headers({name: text for name, text in probe.headers.items() if names(text)}, values)
    if probe.basic is not None:
        user, password = probe.basic
        basic = httpx.BasicAuth(fill(user, values), fill(password, values))
        request = next(basic.auth_flow(httpx.Request("GET", "http://provider")))
        headers["Authorization"] = request.headers["authorization"]
    query = dict(parse_qsl(urlsplit(probe.url).query, keep_blank_values=True))
    return Carried(headers, fill_all({name: text for name, text in query.items() if names(text)}, values))
