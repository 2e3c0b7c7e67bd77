"""What is said of trouble that lasts or is everybody's, all the way to a product's listener."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import httpx
from sqlalchemy import insert
from temporalio.testing import ActivityEnvironment

from activities.record import RecordActivities
from activities.shared import Shared, open_shared
from dev.listener import Listener
from everlink.contract import (
    TASK_QUEUE,
    Activity,
    ConnectionStatus,
    EventType,
    Health,
    Transition,
    TransitionTask,
    UpkeepState,
    Workflow,
)
from store.connections import connection_ref
from store.database import utc_now
from store.scope import Scope
from store.tables import CONNECTIONS, Connection
from tests.api.conftest import Everlink

SECOND_IN_DAYS = 1 / 86400


async def arrived(listener: Listener, count: int) -> list[dict[str, Any]]:
    """The first so many different events, in the order of their numbers; one may come twice."""
    async with asyncio.timeout(30):
        while len({body["event_id"] for body in listener.received}) < count:
            await asyncio.sleep(0.05)
    different = {body["event_id"]: body for body in listener.received}
    return sorted(different.values(), key=lambda body: int(body.get("sequence", 0)))


async def test_expiry_that_nobody_answers_is_reminded_of_until_somebody_does(
    everlink: Everlink, product: httpx.AsyncClient
) -> None:
    days = [2 * SECOND_IN_DAYS, 3 * SECOND_IN_DAYS, 300.0]
    assert (await product.put("/v1/settings", json={"reminder_days": days})).status_code == 200
    async with Listener() as listener, Listener() as other:
        await listener.subscribe(product)
        quiet = await other.subscribe(product)
        assert (await product.patch(f"/v1/webhook-endpoints/{quiet}", json={"reminders": False})).status_code == 200
        connection = await everlink.connect(product)
        async with everlink.customer() as ada:
            await ada.revoke()
        await product.post(f"/v1/connections/{connection}/report", json={})
        created, expired, first, second = await arrived(listener, 4)
        assert [body["event"] for body in (expired, first, second)] == [
            "Connection Expired", "Connection Expired Reminder", "Connection Expired Reminder",
        ]  # fmt: skip
        assert [(body["reminder"], body["reminders"]) for body in (first, second)] == [(1, 3), (2, 3)]
        assert first["expired_at"] == second["expired_at"] and first["reason"] == expired["reason"]
        before = [body["previous_sequence"] for body in (created, expired, first, second)]
        assert before == [None, *[body["sequence"] for body in (created, expired, first)]]
        assert await everlink.connect(product) == connection
        *_, back = await arrived(listener, 5)
        assert (back["event"], back["previous_sequence"]) == ("Connection Reauthenticated", second["sequence"])
        told = [body["event"] for body in await arrived(other, 3)]
        assert told == ["Connection Created", "Connection Expired", "Connection Reauthenticated"]
        shown = (await product.get(f"/v1/connections/{connection}/events")).json()["transitions"]
        assert [row["event"] for row in shown].count("Connection Expired Reminder") == 2


async def made_fleet(shared: Shared, scope: Scope, count: int) -> list[Connection]:
    rows = [
        Connection(
            id=f"con_{uuid4().hex}",
            org_id=scope.org_id,
            environment=scope.environment,
            linked_account_id="acme",
            slug="sandbox",
            identifier=str(number),
            auth_type="oauth2",
            status=ConnectionStatus.ACTIVE,
            status_since=utc_now(),
            sequence=1,
            created_at=utc_now(),
        )
        for number in range(count)
    ]
    values = [{column.name: getattr(row, column.name) for column in CONNECTIONS.columns} for row in rows]
    async with shared.database.writing() as writing:
        await writing.execute(insert(CONNECTIONS), values)
    return rows


async def become(shared: Shared, rows: list[Connection], event: EventType, health: Health, sequence: int) -> None:
    """What their workflows record."""
    active = ConnectionStatus.ACTIVE
    for row in rows:
        transition = Transition(
            sequence=sequence, at=utc_now(), previous_status=active, status=active, health=health, event=event
        )
        task = TransitionTask(ref=connection_ref(row), transition=transition)
        await ActivityEnvironment().run(RecordActivities(shared).record_transition, task)


async def test_outage_of_a_provider_arrives_once_and_so_does_its_end(
    everlink: Everlink, product: httpx.AsyncClient
) -> None:
    caller = await everlink.made.api_keys.authenticate(product.headers["x-api-key"], utc_now())
    assert caller.scope is not None
    async with Listener() as listener, open_shared(everlink.made.settings) as shared:
        await listener.subscribe(product)
        shared.temporal = everlink.made.temporal
        fleet = await made_fleet(shared, caller.scope, 12)
        await become(shared, fleet, EventType.DEGRADED, Health.DEGRADED, 2)
        out = await listener.wait_for("Application Degraded", "sandbox", None)
        assert (out["degraded_connections"], out["connections"]) == (5, 12)
        assert (await product.get("/v1/applications/sandbox")).json()["outage_since"] is not None
        await become(shared, fleet, EventType.RECOVERED, Health.OK, 3)
        state = UpkeepState(todo=[Activity.SWEEP_OUTAGES])
        result = await everlink.made.temporal.execute_workflow(
            Workflow.UPKEEP, state, id=uuid4().hex, task_queue=TASK_QUEUE, result_type=UpkeepState
        )
        assert result.mended >= 1 and result.failed == 0  # a round is for all tenants
        back = await listener.wait_for("Application Recovered", "sandbox", None)
        assert (back["degraded_connections"], back["connections"]) == (0, 12)
        assert (await product.get("/v1/applications/sandbox")).json()["outage_since"] is None
        told = [body["event"] for body in await arrived(listener, 10)]
        assert [told.count(kind) for kind in ("Connection Degraded", "Connection Recovered")] == [4, 4]
