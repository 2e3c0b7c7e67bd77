"""A process dies between two steps, a workflow is terminated, a start is lost: upkeep mends it, nobody else asks."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import insert, update
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.testing import WorkflowEnvironment

from activities import shared
from api import temporal
from dev.listener import Listener
from everlink.contract import (
    TASK_QUEUE,
    UPKEEP_SCHEDULE,
    Activity,
    ConnectionStatus,
    EventType,
    Health,
    Transition,
    UpkeepState,
    Workflow,
    connection_workflow_id,
)
from store.connections import Connections, connection_ref
from store.database import utc_now
from store.scope import Scope
from store.strays import Held, Strays
from store.tables import CONNECTIONS, CREDENTIALS, DELIVERIES, Connection
from tests.api.conftest import OAUTH_URL, SAVE_KEY, Everlink, age, running, settings_for, until_status
from tests.servers import start_dev_server
from worker import schedule_upkeep


@pytest.fixture(scope="module")
async def server() -> AsyncIterator[WorkflowEnvironment]:
    async with await start_dev_server() as environment:
        await schedule_upkeep(environment.client)
        await environment.client.get_schedule_handle(UPKEEP_SCHEDULE).pause()  # rounds are only those of the tests
        yield environment


@pytest.fixture(scope="module")
async def everlink(
    tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path, sandbox: str, server: WorkflowEnvironment
) -> AsyncIterator[Everlink]:
    folder = tmp_path_factory.mktemp("upkeep")
    shutil.copy(sqlite_template, folder / "everlink.sqlite3")
    address = server.client.service_client.config.target_host
    settings = settings_for(f"sqlite+aiosqlite:///{folder}/everlink.sqlite3", folder, sandbox, address)
    async with running(settings, sandbox) as one:
        yield one


async def upkeep_until(client: Client, mended: Callable[[], Awaitable[bool]]) -> None:
    """Rounds of the schedule until something holds; one that is triggered during another is skipped."""
    async with asyncio.timeout(40):
        while not await mended():
            await client.get_schedule_handle(UPKEEP_SCHEDULE).trigger()
            await asyncio.sleep(0.5)


async def visit_all(client: Client, kind: Activity = Activity.SWEEP_FLEET) -> UpkeepState:
    """One round of one kind of work, over all parts of the fleet."""
    state = UpkeepState(todo=[kind], parts=1)
    result: UpkeepState = await client.execute_workflow(
        Workflow.UPKEEP, state, id=uuid4().hex, task_queue=TASK_QUEUE, result_type=UpkeepState
    )
    return result


async def terminate(client: Client, connection_id: str) -> str | None:
    """An operator terminates the workflow; answers its run."""
    handle = client.get_workflow_handle(connection_workflow_id(connection_id))
    run = (await handle.describe()).run_id
    await handle.terminate()
    return run


async def is_running(client: Client, connection_id: str) -> bool:
    found = await client.get_workflow_handle(connection_workflow_id(connection_id)).describe()
    return found.status is WorkflowExecutionStatus.RUNNING


async def row_of(everlink: Everlink, product: httpx.AsyncClient, connection_id: str) -> Connection:
    scope = (await everlink.made.api_keys.authenticate(product.headers["x-api-key"], utc_now())).scope
    assert scope is not None
    row = await everlink.made.connections.get(scope, connection_id)
    assert row is not None
    return row


async def crash(*_: object) -> None:
    raise RuntimeError("the process is killed here")


async def dies_after_the_vault(everlink: Everlink, link: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as killed:
        killed.setattr(temporal, "connect", crash)
        async with everlink.customer() as ada:
            assert (await ada.consent(link)).status_code == 500


async def test_first_grant_that_no_workflow_heard_of_is_connected(
    everlink: Everlink, product: httpx.AsyncClient, server: WorkflowEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    await dies_after_the_vault(everlink, (await product.get(OAUTH_URL)).json()["auth_url"], monkeypatch)
    [pending] = (await product.get("/v1/connections")).json()["connections"]
    assert pending["status"] == "pending"
    path = f"/v1/connections/{pending['id']}"

    async def connected() -> bool:
        return bool((await product.get(path)).json()["status"] == "active")

    await upkeep_until(server.client, connected)
    assert (await product.get(f"{path}/token")).json()["generation"] == 1
    timeline = (await product.get(f"{path}/events")).json()["transitions"]
    assert [row["event"] for row in timeline] == ["Connection Created"]


async def test_page_that_was_read_before_a_removal_revives_nothing(
    everlink: Everlink, product: httpx.AsyncClient, server: WorkflowEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    await dies_after_the_vault(everlink, (await product.get(OAUTH_URL)).json()["auth_url"], monkeypatch)
    [pending] = (await product.get("/v1/connections")).json()["connections"]
    page = await Strays(everlink.made.database).unconfirmed("", 100)
    assert [held.connection.id for held in page] == [pending["id"]]
    assert (await product.delete(f"/v1/connections/{pending['id']}")).status_code == 200
    workflow = server.client.get_workflow_handle(connection_workflow_id(pending["id"]))
    await workflow.result()

    async def read_before(*_: object) -> list[Held]:
        return page

    monkeypatch.setattr(Strays, "unconfirmed", read_before)
    result = await visit_all(server.client, Activity.SWEEP_GRANTS)
    assert (result.mended, result.failed) == (0, 0)
    assert (await workflow.describe()).status is WorkflowExecutionStatus.COMPLETED


async def test_grant_that_its_workflow_heard_of_is_sent_no_second_time(
    everlink: Everlink, product: httpx.AsyncClient, server: WorkflowEnvironment
) -> None:
    connection = await everlink.connect(product)
    row = await row_of(everlink, product, connection)
    again = await visit_all(server.client, Activity.SWEEP_GRANTS)
    assert (again.mended, again.failed) == (0, 0)
    assert (await row_of(everlink, product, connection)).sequence == row.sequence


async def test_reconnect_that_no_workflow_heard_of_clears_the_flag(
    everlink: Everlink, product: httpx.AsyncClient, server: WorkflowEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = f"/v1/connections/{await everlink.connect(product)}"
    async with everlink.customer() as ada:
        await ada.revoke()
    assert (await product.post(f"{path}/report", json={})).status_code < 300
    await until_status(product, path.rpartition("/")[2], "reauth_required")
    link = (await product.post(f"{path}/reconnect")).json()["connect_url"]
    await dies_after_the_vault(everlink, link, monkeypatch)
    assert (await product.get(path)).json()["status"] == "reauth_required"

    async def mended() -> bool:
        return bool((await product.get(path)).json()["status"] == "active")

    await upkeep_until(server.client, mended)
    timeline = (await product.get(f"{path}/events")).json()["transitions"]
    assert [row["event"] for row in timeline if row["event"]][-1] == "Connection Reauthenticated"
    again = await visit_all(server.client, Activity.SWEEP_GRANTS)
    assert (again.mended, again.failed) == (0, 0)  # it is confirmed, and so sent no more


async def test_terminated_workflow_whose_credential_is_overdue_comes_back_and_refreshes(
    everlink: Everlink, product: httpx.AsyncClient, server: WorkflowEnvironment
) -> None:
    connection = await everlink.connect(product)
    await terminate(server.client, connection)
    await age(everlink, connection, -16 * 60)

    async def refreshed() -> bool:
        row = await row_of(everlink, product, connection)
        stored = await everlink.made.credentials.read(Scope.of(connection_ref(row)), connection)
        return stored is not None and stored.generation == 2

    await upkeep_until(server.client, refreshed)
    assert await is_running(server.client, connection)
    assert (await product.get(f"/v1/connections/{connection}/token")).json()["generation"] == 2


async def test_visit_of_the_fleet_starts_what_is_missing_and_leaves_what_runs(
    everlink: Everlink, product: httpx.AsyncClient, server: WorkflowEnvironment
) -> None:
    other = await everlink.product("Other")
    lost, kept = await everlink.connect(product), await everlink.connect(other)
    await visit_all(server.client)
    handle = server.client.get_workflow_handle(connection_workflow_id(kept))
    before = await handle.describe()
    await terminate(server.client, lost)
    result = await visit_all(server.client)
    assert (result.mended, result.failed) == (1, 0)
    assert await is_running(server.client, lost)
    after = await handle.describe()
    assert (after.run_id, after.history_length) == (before.run_id, before.history_length)
    assert (await visit_all(server.client)).mended == 0


async def test_key_without_an_end_comes_back_with_its_part_of_the_fleet(
    everlink: Everlink, product: httpx.AsyncClient, server: WorkflowEnvironment
) -> None:
    async with everlink.customer() as ada:
        _, key = await ada.create_key()
    assert (await product.put(SAVE_KEY, json={"api_key": key})).status_code == 200
    [only] = (await product.get("/v1/connections")).json()["connections"]
    await terminate(server.client, only["id"])
    assert (await visit_all(server.client)).mended >= 1
    assert await is_running(server.client, only["id"])
    assert (await product.get(f"/v1/connections/{only['id']}")).json()["status"] == "active"


async def test_farewell_that_was_cut_off_is_finished(
    everlink: Everlink, product: httpx.AsyncClient, server: WorkflowEnvironment
) -> None:
    async with everlink.customer("grace") as grace:
        await grace.revoke()
    connection = await everlink.connect(product, "grace")
    row = await row_of(everlink, product, connection)
    await terminate(server.client, connection)
    ended = Transition(
        sequence=row.sequence + 1,
        at=utc_now(),
        previous_status=ConnectionStatus.ACTIVE,
        status=ConnectionStatus.DISCONNECTED,
        health=Health.OK,
        event=EventType.DELETED,
    )
    await Connections(everlink.made.database).record(connection_ref(row), ended, utc_now())
    await visit_all(server.client)
    workflow = server.client.get_workflow_handle(connection_workflow_id(connection))
    async with asyncio.timeout(20):
        await workflow.result()
    assert await everlink.made.credentials.read(Scope.of(connection_ref(row)), connection) is None
    async with everlink.customer("grace") as grace:
        assert (await grace.live_tokens())["refresh"] == 0
    timeline = (await product.get(f"/v1/connections/{connection}/events")).json()["transitions"]
    assert timeline[-1]["note"] == "revoked at the provider"


async def test_connection_that_was_disconnected_is_never_started_again(
    everlink: Everlink, product: httpx.AsyncClient, server: WorkflowEnvironment
) -> None:
    connection = await everlink.connect(product)
    assert (await product.delete(f"/v1/connections/{connection}")).status_code == 200
    workflow = server.client.get_workflow_handle(connection_workflow_id(connection))
    await workflow.result()
    row = await row_of(everlink, product, connection)
    async with everlink.made.database.writing() as writing:  # the store comes back from a backup of yesterday
        mine = CONNECTIONS.c.id == connection
        await writing.execute(update(CONNECTIONS).where(mine).values(status=ConnectionStatus.ACTIVE))
        held = {"generation": 2, "sealed": b"x", "renewable": True, "updated_at": utc_now(), "connection_id": row.id}
        scope = Scope.of(connection_ref(row))
        await writing.execute(insert(CREDENTIALS).values(**held, **scope.columns, unconfirmed_generation=2))
    assert (await visit_all(server.client)).mended == 0
    grants = await visit_all(server.client, Activity.SWEEP_GRANTS)
    assert (grants.mended, grants.failed) == (0, 0)
    assert (await workflow.describe()).status is WorkflowExecutionStatus.COMPLETED
    await everlink.made.credentials.purge(scope, connection)


async def test_reminders_go_on_where_their_workflow_was_lost(
    everlink: Everlink, product: httpx.AsyncClient, server: WorkflowEnvironment
) -> None:
    second = 1 / timedelta(days=1).total_seconds()
    await product.put("/v1/settings", json={"reminder_days": [second, 300.0]})
    async with Listener() as listener:
        await listener.subscribe(product)
        connection = await everlink.connect(product)
        async with everlink.customer() as ada:
            await ada.revoke()
        await product.post(f"/v1/connections/{connection}/report", json={})
        first = await listener.wait_for("Connection Expired Reminder", "sandbox", "acme")
        await terminate(server.client, connection)
        await product.put("/v1/settings", json={"reminder_days": [second, 2 * second, 300.0]})
        await visit_all(server.client)
        async with asyncio.timeout(20):
            while len(listener.received) < 4:
                await asyncio.sleep(0.05)
        again = listener.received[-1]
        assert (first["reminder"], again["reminder"], again["reminders"]) == (1, 2, 3)
        assert (again["previous_sequence"], again["expired_at"]) == (first["sequence"], first["expired_at"])
        view = await server.client.get_workflow_handle(connection_workflow_id(connection)).query("status")
        assert "reminder 3 of 3 due" in view["waiting_for"]


async def overdue(everlink: Everlink) -> None:
    """Two minutes pass for every delivery that is planned."""
    async with everlink.made.database.writing() as writing:
        past = utc_now() - timedelta(minutes=3)
        planned = DELIVERIES.c.status == "scheduled"
        await writing.execute(update(DELIVERIES).where(planned).values(next_attempt_at=past))


async def delivery_of(product: httpx.AsyncClient, connection: str) -> dict[str, object]:
    [only] = (await product.get(f"/v1/connections/{connection}/deliveries")).json()
    return dict(only)


async def test_delivery_whose_start_was_lost_is_made(
    everlink: Everlink, product: httpx.AsyncClient, server: WorkflowEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def lost(*_: object, **__: object) -> bool:
        return True

    async with Listener() as listener:
        await listener.subscribe(product)
        with monkeypatch.context() as unlucky:
            unlucky.setattr(shared, "start_delivery", lost)
            connection = await everlink.connect(product)
        await overdue(everlink)

        async def delivered() -> bool:
            return (await delivery_of(product, connection))["status"] == "delivered"

        await upkeep_until(server.client, delivered)
        assert [event["connection_id"] for event in listener.received] == [connection]


async def test_delivery_that_was_terminated_goes_on_where_it_stood(
    everlink: Everlink, product: httpx.AsyncClient, server: WorkflowEnvironment
) -> None:
    async with Listener() as listener:
        listener.failing = True
        endpoint = await listener.subscribe(product)
        connection = await everlink.connect(product)
        async with asyncio.timeout(20):
            while (await delivery_of(product, connection))["attempts"] != 1:
                await asyncio.sleep(0.05)
        timeline = (await product.get(f"/v1/connections/{connection}/events")).json()["transitions"]
        row = await row_of(everlink, product, connection)
        event_id = str(Transition.model_validate(timeline[0]).event_id(row.id))
        await server.client.get_workflow_handle(f"delivery/{event_id}/{endpoint}").terminate()
        listener.failing = False
        await overdue(everlink)

        async def delivered() -> bool:
            return (await delivery_of(product, connection))["status"] == "delivered"

        await upkeep_until(server.client, delivered)
        assert (await delivery_of(product, connection))["attempts"] == 2
        assert listener.ids == [event_id]
