"""The page about providers' events has every application that tells any, and how each is known."""

from __future__ import annotations

import re
from pathlib import Path

from dev.config import ROOT
from providers.catalog import Catalog
from providers.events import Events

PAGE = (ROOT / "docs" / "provider-events.md").read_text()
ROW = re.compile(r"^\| `([a-z_]+)` \| .+ \| (.+) \| .+ \|$", re.MULTILINE)


def tells() -> dict[str, Events]:
    catalog = Catalog.load(Path(ROOT / "sandbox" / "catalog"))
    return {entry.slug: entry.events for entry in catalog if entry.events is not None}


def test_every_application_that_tells_of_ends_has_its_row() -> None:
    rows = [slug for slug, _ in ROW.findall(PAGE)]
    assert rows == sorted(tells())


def test_row_says_what_proves_an_event() -> None:
    words = {"signing_secret": "`signing_secret`: ", "client_secret": "client", "jwks": "public keys", None: "nothing"}
    for slug, known_by in ROW.findall(PAGE):
        secret = tells()[slug].secret
        assert words[secret] in known_by and ("`signing_secret`" in known_by) == (secret == "signing_secret"), slug
