"""docs/providers.md says what the catalog says, and what it shows to copy is valid."""

from __future__ import annotations

import re

import pytest
import yaml

from dev.provider_table import COUNT, FILE, README, TEMPLATE, counted, page
from providers.catalog import Catalog
from providers.entry import CatalogEntry

CATALOG = list(Catalog.load())
SHOWN = re.findall(r"```yaml\n(.*?)```", TEMPLATE.read_text(), re.DOTALL)
EVERYTHING = {
    "slug": "everything",
    "name": "Everything",
    "description": "",
    "auth_type": "oauth2",
    "fields": [{"name": "site", "label": "Site"}],
    "oauth2": {
        "authorize_url": "https://{site}.everything.example/authorize",
        "token_url": "https://{site}.everything.example/token",
        "introspect_url": "https://{site}.everything.example/introspect",
        "revoke_url": "https://{site}.everything.example/revoke",
        "uninstall": {"method": "DELETE", "url": "https://{site}.everything.example/app"},
        "access_token_seconds": 5400,
        "reuse_grace_seconds": 60,
        "idle_seconds": 7776000,
        "grant_seconds": 31536000,
    },
}


def test_page_is_up_to_date() -> None:
    assert FILE.read_text() == page(CATALOG), "run `make providers`"


def test_readme_has_the_count() -> None:
    readme = README.read_text()
    assert COUNT.search(readme) and counted(readme, CATALOG) == readme, "run `make providers`"


def test_every_application_is_on_the_page_once() -> None:
    slugs = re.findall(r"^\| \[.*?\]\(.*?\) `(.*?)` \|", page(CATALOG), re.MULTILINE)
    assert sorted(slugs) == sorted(entry.slug for entry in CATALOG)


def test_row_says_what_the_entry_says() -> None:
    row = next(line for line in page([CatalogEntry.model_validate(EVERYTHING)]).splitlines() if "`everything`" in line)
    _, _, connects, access, refresh, farewell, event, probe, _ = (cell.strip() for cell in row.split("|"))
    assert connects == "OAuth 2 + PKCE; asks for Site" and access == "90 minutes"
    assert refresh == "may rotate, the old one works 1 minute, dies unused for 90 days, ends 1 year after consent"
    assert (farewell, event, probe) == ("revoked, uninstalled if asked", "-", "introspection")


@pytest.mark.parametrize("text", SHOWN)
def test_entry_that_is_shown_is_valid(text: str) -> None:
    CatalogEntry.model_validate(yaml.safe_load(text))


def test_two_entries_are_shown() -> None:
    assert len(SHOWN) == 2
