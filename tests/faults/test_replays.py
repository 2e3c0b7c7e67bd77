"""Replays that were begun while Temporal was away, or whose worker died between the store and the workflows."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from uuid import uuid4

from sqlalchemy import update
from temporalio.testing import WorkflowEnvironment

from dev.listener import Listener
from everlink import Client
from everlink.contract import TASK_QUEUE, Activity, ReplayTask, UpkeepState, Workflow
from store.database import utc_now
from store.tables import DELIVERIES
from tests.api.conftest import Everlink, running, settings_for
from tests.api.removing import scope_of
from tests.api.test_replays import close, happen, until_closed, until_over

NOWHERE = "http://127.0.0.1:9"


async def upkeep(server: WorkflowEnvironment, kind: Activity) -> tuple[int, int]:
    """One round of one kind of work; answers what it mended, and what it could not."""
    result: UpkeepState = await server.client.execute_workflow(
        Workflow.UPKEEP, UpkeepState(todo=[kind]), id=uuid4().hex, task_queue=TASK_QUEUE, result_type=UpkeepState
    )
    return result.mended, result.failed


async def pass_time(everlink: Everlink) -> None:
    """What was due is overdue."""
    async with everlink.made.database.writing() as writing:
        await writing.execute(update(DELIVERIES).values(next_attempt_at=utc_now() - timedelta(minutes=3)))


async def test_replays_that_were_begun_while_temporal_was_away_are_started_by_upkeep(
    sqlite_url: str, tmp_path: Path, own_temporal: WorkflowEnvironment
) -> None:
    settings = settings_for(sqlite_url, tmp_path, NOWHERE, own_temporal.client.service_client.config.target_host)
    away = settings.model_copy(update={"temporal_address": "127.0.0.1:9"})
    async with Listener() as listener:
        async with running(away, NOWHERE, worker=False) as everlink:
            product = await everlink.product()
            key, scope = product.headers["x-api-key"], await scope_of(everlink.made, product)
            endpoint = await listener.subscribe(product)
            alone, *many = await happen(everlink, scope, 4)
            await close(everlink, [alone, *many])
            async with Client(everlink.url, key) as client:
                assert (await client.events.replay(alone, endpoint)).status == "scheduled"
                begun = await client.webhook_endpoints.replay(endpoint)
                assert (begun.position, begun.finished_at) == (0, None)
            # The worker dies where the store has moved them, and no workflow is started yet.
            task = ReplayTask(id=begun.id, org_id=scope.org_id, environment=scope.environment, endpoint_id=endpoint)
            assert (await everlink.made.replays.page(task, utc_now())).replayed == 3
        assert listener.ids == []
        async with running(settings, NOWHERE) as everlink, Client(everlink.url, key) as client:
            assert await upkeep(own_temporal, Activity.SWEEP_REPLAYS) == (1, 0)
            over = await until_over(client, begun)
            assert (over.replayed, over.delivered, sorted(listener.ids)) == (3, 3, sorted(many))
            assert await upkeep(own_temporal, Activity.SWEEP_REPLAYS) == (0, 0)
            await pass_time(everlink)
            assert await upkeep(own_temporal, Activity.SWEEP_DELIVERIES) == (1, 0)
            row = await until_closed(everlink, scope, alone, endpoint)
            assert (row.round, row.attempts, sorted(listener.ids)) == (1, 1, sorted([alone, *many]))
