"""What a customer types into the fields of an entry."""

from __future__ import annotations

import re

from hypothesis import HealthCheck, settings, strategies
from hypothesis import given as generate

from providers.entry import CatalogEntry, KeyField
from providers.request import Request
from providers.templates import PLACE


def given(entry: CatalogEntry) -> dict[str, str]:
    """A value for each field, as its form and its place demand."""
    addresses = {found[1] for url in _urls(entry) if (found := PLACE.match(url))}
    return {field.name: _value(field, is_address=field.name in addresses) for field in entry.fields}


def _value(field: KeyField, *, is_address: bool) -> str:
    if field.options:
        return field.options[0]
    plain = "given-" + re.sub(r"[^a-z0-9]+", "-", field.name.lower()).strip("-")
    tried = ("https://given.example" if is_address else plain, field.placeholder)
    pattern = field.pattern
    if pattern is None:
        return tried[0]
    fitting = next((text for text in tried if re.fullmatch(pattern, text)), None)
    return fitting if fitting is not None else _matching(pattern)


def _matching(pattern: str) -> str:
    """The first plain text of a pattern that is found, the same each time."""
    found: list[str] = []
    letters = strategies.characters(codec="ascii", exclude_categories=("C", "Z"))

    @settings(derandomize=True, max_examples=1, database=None, suppress_health_check=list(HealthCheck))
    @generate(strategies.from_regex(pattern, fullmatch=True, alphabet=letters))
    def find(text: str) -> None:
        found.append(text)

    find()
    return found[0]


def _urls(entry: CatalogEntry) -> list[str]:
    oauth2 = entry.oauth2
    requests: list[Request | None] = [entry.probe]
    urls: list[str | None] = []
    if oauth2 is not None:
        requests += [oauth2.revoke, oauth2.uninstall]
        urls += [oauth2.authorize_url, oauth2.token_url, oauth2.refresh_url, oauth2.revoke_url, oauth2.introspect_url]
    return [url for url in (*urls, *(one.url for one in requests if one is not None)) if url is not None]
