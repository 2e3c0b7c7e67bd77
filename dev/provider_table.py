"""Writes docs/providers.md from the catalog, and the count in the README: `python -m dev.provider_table`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from string import Template

from dev.config import ROOT
from everlink.contract import AuthType
from providers.catalog import Catalog
from providers.entry import CatalogEntry, OAuth2
from providers.words import duration

TEMPLATE = Path(__file__).with_name("providers.template.md")
FILE = ROOT / "docs" / "providers.md"
README = ROOT / "README.md"
COUNT = re.compile(r"\*\*\d+ applications\*\*")
NOTHING = "-"
BY_CONSENT = (
    "application",
    "connects by",
    "access token",
    "refresh token",
    "on disconnect",
    "tells of the end",
    "probe",
)
BY_FIELDS = ("application", "connects by", "the customer gives", "access token", "tells of the end", "probe")


def page(entries: Iterable[CatalogEntry]) -> str:
    """The whole page."""
    known = sorted(entries, key=lambda entry: entry.name.casefold())
    consent = [entry for entry in known if entry.auth_type is AuthType.OAUTH2]
    fields = [entry for entry in known if entry.auth_type is AuthType.KEY_BASED]
    text = Template(TEMPLATE.read_text(encoding="utf-8"))
    return text.safe_substitute(
        count=len(known),
        consent=_table(BY_CONSENT, map(_by_consent, consent)),
        consent_count=len(consent),
        fields=_table(BY_FIELDS, map(_by_fields, fields)),
        fields_count=len(fields),
        events_count=sum(entry.events is not None for entry in known),
    )


def counted(readme: str, entries: Iterable[CatalogEntry]) -> str:
    """The README with how many applications there are."""
    return COUNT.sub(f"**{len(list(entries))} applications**", readme)


def _table(names: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [names, ("---",) * len(names), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _by_consent(entry: CatalogEntry) -> tuple[str, ...]:
    assert entry.oauth2 is not None
    return (
        _named(entry),
        _consent(entry, entry.oauth2),
        _access_token(entry.oauth2),
        _refresh_token(entry.oauth2),
        _farewell(entry.oauth2),
        _event(entry),
        _probe(entry),
    )


def _by_fields(entry: CatalogEntry) -> tuple[str, ...]:
    lifetime = _access_token(entry.oauth2) if entry.oauth2 is not None else NOTHING
    asked = ", ".join(field.label for field in entry.fields)
    return _named(entry), _credential(entry), asked, lifetime, _event(entry), _probe(entry)


def _named(entry: CatalogEntry) -> str:
    return f"[{entry.name}](../providers/catalog/{entry.slug}.yaml) `{entry.slug}`"


def _consent(entry: CatalogEntry, oauth2: OAuth2) -> str:
    asked = f"; asks for {', '.join(field.label for field in entry.fields)}" if entry.fields else ""
    return f"OAuth 2{' + PKCE' if oauth2.pkce else ''}{asked}"


def _credential(entry: CatalogEntry) -> str:
    """How a key goes out with requests, as the probe shows it."""
    if entry.oauth2 is not None:
        return "client credentials"
    if entry.probe is not None and entry.probe.basic is not None:
        return "Basic"
    headers = {name.lower(): value for name, value in (entry.probe.headers if entry.probe else {}).items()}
    return "bearer token" if headers.get("authorization", "").startswith("Bearer {") else "API key"


def _access_token(oauth2: OAuth2) -> str:
    return duration(oauth2.access_token_seconds) if oauth2.access_token_seconds is not None else "as it says"


def _refresh_token(oauth2: OAuth2) -> str:
    words = ["may rotate" if oauth2.rotates else "stays"]
    if oauth2.reuse_grace_seconds is not None:
        words.append(f"the old one works {duration(oauth2.reuse_grace_seconds)}")
    if oauth2.idle_seconds is not None:
        words.append(f"dies unused for {duration(oauth2.idle_seconds)}")
    if oauth2.grant_seconds is not None:
        words.append(f"ends {duration(oauth2.grant_seconds)} after consent")
    return ", ".join(words)


def _farewell(oauth2: OAuth2) -> str:
    ways = []
    if oauth2.revoke_url is not None or oauth2.revoke is not None:
        ways.append("revoked")
    if oauth2.uninstall is not None:
        ways.append("uninstalled if asked")
    return ", ".join(ways) or NOTHING


def _event(entry: CatalogEntry) -> str:
    if entry.events is None:
        return NOTHING
    scheme = entry.events.signature.scheme
    return "unsigned: looked into" if scheme == "none" else f"`{scheme}`"


def _probe(entry: CatalogEntry) -> str:
    if entry.probe is None:
        return "introspection" if entry.oauth2 is not None and entry.oauth2.introspect_url is not None else NOTHING
    every = entry.probe.every_seconds
    return "yes" if every is None else f"yes, every {duration(every)}"


def main() -> None:
    catalog = list(Catalog.load())
    FILE.write_text(page(catalog), encoding="utf-8")
    README.write_text(counted(README.read_text(encoding="utf-8"), catalog), encoding="utf-8")


if __name__ == "__main__":
    main()
