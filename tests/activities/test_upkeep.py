"""Upkeep's pages on a real store: one that cannot be mended holds up no other and is counted."""

from __future__ import annotations

from datetime import timedelta

import pytest
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import ActivityEnvironment

from activities import upkeep
from activities.upkeep import UpkeepActivities
from everlink.contract import AuthType, SweepOutcome, SweepTask
from providers.catalog import Catalog
from store.credentials import Credentials
from store.database import utc_now
from tests.activities.conftest import Refreshing

CLOSED = "127.0.0.1:9"


@pytest.fixture
async def nobody(refreshing: Refreshing, monkeypatch: pytest.MonkeyPatch) -> UpkeepActivities:
    """Temporal does not answer."""
    monkeypatch.setattr(upkeep, "START_TIMEOUT", timedelta(seconds=1))
    refreshing.shared.temporal = await Client.connect(CLOSED, data_converter=pydantic_data_converter, lazy=True)
    return UpkeepActivities(refreshing.shared)


async def grants(sweeps: UpkeepActivities, after: str | None = None) -> SweepOutcome:
    outcome: SweepOutcome = await ActivityEnvironment().run(sweeps.sweep_grants, SweepTask(after=after))
    return outcome


async def test_grant_that_could_not_be_sent_is_counted_and_kept_for_the_next_round(nobody: UpkeepActivities) -> None:
    for _ in range(2):
        assert await grants(nobody) == SweepOutcome(after=None, mended=0, failed=1)


async def test_application_that_the_catalog_lacks_keeps_no_page_from_its_end(
    refreshing: Refreshing, nobody: UpkeepActivities
) -> None:
    refreshing.shared.catalog = Catalog([])
    assert await grants(nobody) == SweepOutcome(after=None, mended=0, failed=1)


async def test_pages_follow_each_other_without_a_gap(
    refreshing: Refreshing, nobody: UpkeepActivities, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "PAGE", 2)
    for number in range(4):
        row = await refreshing.shared.connections.find_or_create(
            refreshing.scope,
            linked_account_id="acme",
            slug="test",
            identifier=f"ada {number}",
            display_name=None,
            auth_type=AuthType.OAUTH2,
            now=utc_now(),
        )
        await Credentials(refreshing.shared.database).grant(
            refreshing.scope, row.id, b"sealed", renewable=True, expires_at=None, now=utc_now()
        )
    pages = [await grants(nobody)]
    while (after := pages[-1].after) is not None:
        pages.append(await grants(nobody, after))
    assert [page.failed for page in pages] == [2, 2, 1]
