"""Every application that connects by consent, without PKCE lives as its entry says."""

from __future__ import annotations

import pytest

from everlink.contract import AuthType
from providers.catalog import Catalog
from providers.entry import CatalogEntry
from tests.conformance.life import Life
from tests.conformance.provider import Provider
from tests.conformance.world import World

CONSENT = [entry for entry in Catalog.load() if entry.auth_type is AuthType.OAUTH2]
ENTRIES = [entry for entry in CONSENT if entry.oauth2 is not None and not entry.oauth2.pkce]


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.slug)
async def test_application_lives_as_its_entry_says(world: World, entry: CatalogEntry) -> None:
    await Life(world, Provider(entry)).whole()
