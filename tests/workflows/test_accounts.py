"""Another account in the place of the one before, and the application uninstalled at the end."""

from __future__ import annotations

from datetime import timedelta

import pytest
from temporalio.testing import WorkflowEnvironment

from everlink.contract import ConnectionStatus, EventType
from tests.workflows.provider import Life, dead

ADA, GRACE = "ada@acme.example", "grace@acme.example"


async def test_another_account_takes_the_place_and_every_event_from_then_on_names_it(
    life: Life, skipping: WorkflowEnvironment
) -> None:
    await life.connect(identifier=ADA)
    await life.connect(generation=2, identifier=GRACE)
    life.provider.refresh_answer = dead
    await skipping.sleep(timedelta(hours=2))
    assert life.provider.events == [EventType.CREATED, EventType.REAUTHENTICATED, EventType.EXPIRED]
    assert life.provider.identifiers == [ADA, GRACE, GRACE]
    assert [one.note for one in life.provider.transitions[:2]] == ["", "with another account than before"]


@pytest.mark.parametrize("identifier", [None, ADA])
async def test_same_account_and_what_an_older_release_says_switch_nothing(life: Life, identifier: str | None) -> None:
    await life.connect()
    await life.connect(generation=2, identifier=identifier)
    assert life.provider.identifiers == [ADA, ADA]
    assert all(not one.note for one in life.provider.transitions)


@pytest.mark.parametrize(("uninstall", "done"), [(True, "uninstalled 1"), (False, "revoked 1")])
async def test_end_uninstalls_only_where_that_was_asked_for(life: Life, uninstall: bool, done: str) -> None:
    await life.connect()
    view = await life.disconnect(uninstall=uninstall)
    assert view.status is ConnectionStatus.DISCONNECTED
    await life.handle.result()
    assert life.provider.calls == [done, "purged"]
