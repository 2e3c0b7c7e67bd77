"""What lists in Temporal's Web UI can be filtered by: written where it changes, and by no refresh."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from temporalio.api.enums.v1 import EventType as HistoryEvent
from temporalio.testing import WorkflowEnvironment

from everlink.contract import GRANT_ENDS_AT, SEARCH_ATTRIBUTES
from tests.workflows.provider import KEY, Life, Provider, dead, living, transient, works

UPSERT = HistoryEvent.EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES
END = GRANT_ENDS_AT.name


async def listed(life: Life) -> dict[str, Any]:
    """As the history tells: the skipping server keeps a date that is unset, which the SDK cannot describe."""
    shown: dict[str, Any] = {}
    for fields in await writes(life):
        shown |= fields
    return {name: value for name, value in shown.items() if value is not None}


async def writes(life: Life) -> list[dict[str, Any]]:
    """Ours; the SDK writes one of its own beside the marker of a patch."""
    ours = {key.name for key in SEARCH_ATTRIBUTES}
    fields = [
        event.upsert_workflow_search_attributes_event_attributes.search_attributes.indexed_fields
        for event in (await life.handle.fetch_history()).events
        if event.event_type == UPSERT
    ]
    return [{name: json.loads(one[name].data or "null") for name in one} for one in fields if ours & set(one)]


async def test_health_is_listed_as_it_changes(life: Life, skipping: WorkflowEnvironment) -> None:
    await life.connect()
    assert await listed(life) == {"ConnectionStatus": "active", "ConnectionHealth": "ok"}
    life.provider.refresh_answer = transient
    await skipping.sleep(timedelta(hours=3))
    assert await listed(life) == {"ConnectionStatus": "active", "ConnectionHealth": "degraded"}
    life.provider.refresh_answer = None
    await skipping.sleep(timedelta(hours=2))
    assert await listed(life) == {"ConnectionStatus": "active", "ConnectionHealth": "ok"}
    assert len(await writes(life)) == 3
    life.provider.refresh_answer = dead
    await skipping.sleep(timedelta(hours=2))
    shown = await listed(life)
    assert (shown["ConnectionStatus"], shown["ReauthReason"]) == ("reauth_required", "access_revoked")
    assert len(await writes(life)) == 4


async def test_refreshes_write_nothing(life: Life, skipping: WorkflowEnvironment) -> None:
    await life.connect()
    await skipping.sleep(timedelta(hours=8))
    assert life.provider.refreshes >= 8 and len(await writes(life)) == 1


async def test_end_is_listed_from_its_first_notice_until_it_is_put_off(skipping: WorkflowEnvironment) -> None:
    provider = Provider(lifetimes=KEY, probe_answer=lambda task: works(task, KEY))
    async with living(skipping.client, provider) as life:
        view = await life.connect(lifetimes=KEY.model_copy(update={"ends_in": timedelta(days=8).total_seconds()}))
        await skipping.sleep(timedelta(hours=23))
        assert END not in await listed(life)
        await skipping.sleep(timedelta(hours=2))
        assert view.ends_at is not None and (await listed(life))[END] == view.ends_at.isoformat()
        longer = KEY.model_copy(update={"ends_in": timedelta(days=90).total_seconds()})
        provider.probe_answer = lambda task: works(task, longer)
        await skipping.sleep(timedelta(days=2))
        assert END not in await listed(life)
        written = await writes(life)
        await skipping.sleep(timedelta(days=5))  # each probe puts it off a little more
        assert await writes(life) == written


async def test_end_is_not_listed_of_what_needs_its_customer_already(skipping: WorkflowEnvironment) -> None:
    provider = Provider(lifetimes=KEY, probe_answer=lambda task: works(task, KEY))
    async with living(skipping.client, provider) as life:
        await life.connect(lifetimes=KEY.model_copy(update={"ends_in": timedelta(days=8).total_seconds()}))
        await skipping.sleep(timedelta(days=1.1))
        assert END in await listed(life)
        provider.probe_answer = dead
        await skipping.sleep(timedelta(days=2))
        assert (await listed(life))["ConnectionStatus"] == "reauth_required" and END not in await listed(life)
