"""`make histories`: records one history for each state and transition, for the replay test to keep true.

A changed workflow must replay what the released one has written. Record anew only for a scenario that is new:
existing files are kept.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from temporalio import activity
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import DescribeWorkflowExecutionRequest
from temporalio.client import WorkflowHandle
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from everlink.contract import (
    TASK_QUEUE,
    Activity,
    ApplicationDeleted,
    AttemptOutcome,
    AttemptTask,
    CloseDeliveryTask,
    CredentialRejected,
    DeliveryTask,
    DispatchOutcome,
    DispatchTask,
    Environment,
    FinishReplayTask,
    InboxState,
    InboxTask,
    LateSuccess,
    Lifetimes,
    ProviderEvent,
    ProviderEventKind,
    ReauthReason,
    RemovalKind,
    RemovalPage,
    RemovalPageTask,
    RemovalState,
    RemovalTask,
    ReplayPage,
    ReplayPageTask,
    ReplayState,
    ReplayTask,
    Signal,
    SweepOutcome,
    SweepTask,
    UpkeepState,
    Verdict,
    Workflow,
)
from tests.servers import start_skipping
from tests.workflows.provider import (
    HOURLY,
    KEY,
    Life,
    Provider,
    application_error,
    dead,
    living,
    ok,
    transient,
    unsupported,
    waiting_room,
    works,
)
from workflows.connection import REFRESHES_PER_RUN

FOLDER = Path(__file__).parent / "histories"
STACK, IDENTITY = (re.compile(rf'("{name}": )"(?:[^"\\]|\\.)*"') for name in ("stackTrace", "identity"))

Scenario = Callable[[Life, WorkflowEnvironment], Awaitable[None]]


async def connected(life: Life, server: WorkflowEnvironment) -> None:
    await life.connect()


async def refreshed(life: Life, server: WorkflowEnvironment) -> None:
    await life.connect()
    await server.sleep(timedelta(hours=5))


async def continued_as_new(life: Life, server: WorkflowEnvironment) -> None:
    await life.connect()
    await server.sleep(timedelta(hours=20))  # 24 refreshes, and some in the next run


async def forced(life: Life, server: WorkflowEnvironment) -> None:
    await life.connect()
    await life.refresh()


async def degraded_and_recovered(life: Life, server: WorkflowEnvironment) -> None:
    await life.connect()
    life.provider.refresh_answer = transient
    await server.sleep(timedelta(hours=3))
    life.provider.refresh_answer = None
    await server.sleep(timedelta(hours=2))


async def application_refused(life: Life, server: WorkflowEnvironment) -> None:
    await life.connect()
    life.provider.refresh_answer = application_error
    await server.sleep(timedelta(hours=2))


async def dead_then_reconnected(life: Life, server: WorkflowEnvironment) -> None:
    await life.connect()
    life.provider.refresh_answer = dead
    await server.sleep(timedelta(hours=2))
    life.provider.refresh_answer = None
    await life.connect(generation=2)
    await server.sleep(timedelta(hours=1))


async def die(life: Life, server: WorkflowEnvironment) -> None:
    await life.connect()
    life.provider.refresh_answer = dead
    await life.refresh()


async def waited_for(life: Life, server: WorkflowEnvironment) -> None:
    """Two workflows wait, one of which gives up; the other's wait outlives the run."""
    await die(life, server)
    async with waiting_room(server.client):
        told, given_up = await life.wait(), await life.wait()
        await life.until_waited_for(2)
        await given_up.cancel()
        await life.until_waited_for(1)
        for _ in range(REFRESHES_PER_RUN):
            await life.refresh()
        await life.connect(generation=2)
        await told.result()


async def suspected(life: Life, server: WorkflowEnvironment) -> None:
    await life.connect()
    life.provider.probe_answer = dead
    await life.handle.signal(Signal.CREDENTIAL_REJECTED, CredentialRejected(request_id="one"))
    await server.sleep(timedelta(seconds=5))


async def cleared_of_suspicion(life: Life, server: WorkflowEnvironment) -> None:
    await life.connect()
    life.provider.probe_answer = lambda task: works(task, HOURLY)
    await life.handle.signal(Signal.CREDENTIAL_REJECTED, CredentialRejected(request_id="one"))
    await server.sleep(timedelta(seconds=5))


async def reported_meanwhile(life: Life, server: WorkflowEnvironment) -> None:
    """Twice: one whose report comes first joins the probe, and after a later report they wait for another."""
    await life.connect()
    async with life.asked_of_a_report() as asking:
        pass
    await asking
    async with life.asked_of_a_report() as asking:
        await life.report()
    await asking


async def uninstalled(life: Life, server: WorkflowEnvironment) -> None:
    await life.connect()
    now = await server.get_current_time() + timedelta(seconds=1)
    event = ProviderEvent(request_id="one", kind=ProviderEventKind.UNINSTALLED, occurred_at=now)
    await life.tell(event)
    await server.sleep(timedelta(seconds=5))


async def announced_close_to_the_grant(life: Life, server: WorkflowEnvironment) -> None:
    await life.connect()
    life.provider.probe_answer = lambda task: works(task, HOURLY)
    just_before = await server.get_current_time() - timedelta(seconds=2)
    await life.tell(ProviderEvent(request_id="one", kind=ProviderEventKind.REVOKED, occurred_at=just_before))
    await server.sleep(timedelta(seconds=5))


async def disconnected(life: Life, server: WorkflowEnvironment) -> None:
    await life.connect()
    await life.disconnect()
    await life.handle.result()


async def sealed(life: Life, server: WorkflowEnvironment) -> None:
    await life.connect()
    life.provider.refresh_answer = lambda task: ok(task, HOURLY).model_copy(update={"sealed": "Y2lwaGVy"})
    await life.refresh()


async def key_probed_then_dead(life: Life, server: WorkflowEnvironment) -> None:
    life.provider.lifetimes = KEY
    await life.connect()
    await server.sleep(timedelta(days=2))
    life.provider.probe_answer = lambda task: dead(task, ReauthReason.CREDENTIALS_INVALID)
    await server.sleep(timedelta(days=2))


async def ended_without_refresh_token(life: Life, server: WorkflowEnvironment) -> None:
    life.provider.lifetimes = Lifetimes(expires_in=3600.0, renewable=False)
    life.provider.probe_answer = dead
    await life.connect()
    await server.sleep(timedelta(hours=2))


async def expired_without_a_probe(life: Life, server: WorkflowEnvironment) -> None:
    life.provider.lifetimes = Lifetimes(expires_in=3600.0, renewable=False)
    life.provider.probe_answer = unsupported
    await life.connect()
    await server.sleep(timedelta(hours=2))


async def degraded_after_ten_minutes(life: Life, server: WorkflowEnvironment) -> None:
    await life.connect()
    life.provider.refresh_answer = transient
    await server.sleep(timedelta(hours=3))
    life.provider.refresh_answer = None
    await server.sleep(timedelta(hours=2))


async def end_announced(life: Life, server: WorkflowEnvironment) -> None:
    life.provider.lifetimes = KEY
    life.provider.probe_answer = lambda task: works(task, KEY)
    await life.connect(lifetimes=KEY.model_copy(update={"ends_in": timedelta(days=8).total_seconds()}))
    await server.sleep(timedelta(days=7, hours=1))
    life.provider.probe_answer = lambda task: dead(task, ReauthReason.CREDENTIALS_INVALID)
    await server.sleep(timedelta(days=1))


async def kept_from_idling(life: Life, server: WorkflowEnvironment) -> None:
    life.provider.lifetimes = Lifetimes(renewable=True, idle_window=7200.0)
    await life.connect()
    await server.sleep(timedelta(hours=5))


async def forced_before_a_round(life: Life, server: WorkflowEnvironment) -> None:
    view = await life.connect()
    assert view.next_at is not None
    life.provider.refresh_answer = transient
    await server.sleep(view.next_at - await server.get_current_time() + timedelta(seconds=1))
    life.provider.refresh_answer = None
    await life.refresh()


async def forced_and_failed(life: Life, server: WorkflowEnvironment) -> None:
    await life.connect()
    life.provider.refresh_answer = transient
    await life.refresh()
    await life.refresh()


async def told_to_wait(life: Life, server: WorkflowEnvironment) -> None:
    await life.connect()
    life.provider.refresh_answer = lambda task: transient(task, retry_after=1800.0)
    await server.sleep(timedelta(minutes=50))
    life.provider.refresh_answer = None
    await server.sleep(timedelta(minutes=50))


async def crowded(life: Life, server: WorkflowEnvironment) -> None:
    await life.connect()
    life.provider.refresh_answer = lambda task: transient(task, retry_after=10.0, deferred=True)
    await server.sleep(timedelta(minutes=50))
    life.provider.refresh_answer = None
    await server.sleep(timedelta(minutes=5))


async def late_and_accepted(life: Life, server: WorkflowEnvironment) -> None:
    await life.connect()
    life.provider.refresh_answer = lambda task: dead(task, ReauthReason.REFRESH_OUTCOME_UNKNOWN)
    await server.sleep(timedelta(hours=1))
    life.provider.probe_answer = lambda task: (
        ok(task, HOURLY).model_copy(update={"verdict": Verdict.SUPERSEDED})
        if task.generation == 1
        else works(task, HOURLY)
    )
    await life.handle.signal(Signal.LATE_SUCCESS, LateSuccess(generation=2))
    await server.sleep(timedelta(minutes=1))


async def late_and_overtaking(life: Life, server: WorkflowEnvironment) -> None:
    """The news of it overtakes whatever is under way."""
    await late_and_accepted(life, server)


async def answered_by_a_grant(life: Life, server: WorkflowEnvironment) -> None:
    """A refresh is wanted while the store is away and none can begin; a reconnect brings what it wants."""
    await life.connect()
    life.provider.store_is_down, life.provider.refresh_answer = True, dead
    dying = asyncio.create_task(life.refresh())
    async with asyncio.timeout(20):
        while not life.provider.refused:
            await asyncio.sleep(0.05)
    refreshing = asyncio.create_task(life.refresh())
    await asyncio.sleep(0.2)
    connecting = asyncio.create_task(life.connect(generation=2))
    await asyncio.sleep(0.2)
    life.provider.store_is_down = False
    await asyncio.gather(dying, refreshing, connecting)


async def application_deleted(life: Life, server: WorkflowEnvironment) -> None:
    await life.connect()
    await life.handle.signal(Signal.APPLICATION_DELETED, ApplicationDeleted(request_id="one"))
    await server.sleep(timedelta(hours=3))
    await life.connect(generation=2)
    await server.sleep(timedelta(hours=1))


async def reminded_then_reconnected(life: Life, server: WorkflowEnvironment) -> None:
    life.provider.reminder_days = [1.0, 3.0, 7.0]
    await life.connect()
    life.provider.refresh_answer = dead
    await server.sleep(timedelta(days=4))
    life.provider.refresh_answer = None
    await life.connect(generation=2)
    await server.sleep(timedelta(hours=1))


async def reminded_of_what_lost_its_application(life: Life, server: WorkflowEnvironment) -> None:
    life.provider.reminder_days = [1.0, 3.0]
    await life.connect()
    life.provider.refresh_answer = dead
    await server.sleep(timedelta(days=2))
    await life.handle.signal(Signal.APPLICATION_DELETED, ApplicationDeleted(request_id="one"))
    await server.sleep(timedelta(days=3))


async def recorded_late(life: Life, server: WorkflowEnvironment) -> None:
    """The store is away when the customer connects, and there when they reconnect."""
    life.provider.store_is_down = True
    connecting = asyncio.create_task(life.connect())
    async with asyncio.timeout(20):
        while life.provider.refused < 2:  # the local activity, and the one that is tried without end
            await asyncio.sleep(0.05)
    life.provider.store_is_down = False
    await connecting
    life.provider.refresh_answer = dead
    await life.refresh()
    life.provider.refresh_answer = None
    await life.connect(generation=2)


async def degraded_in_lists(life: Life, server: WorkflowEnvironment) -> None:
    await degraded_after_ten_minutes(life, server)


async def end_announced_and_put_off(life: Life, server: WorkflowEnvironment) -> None:
    life.provider.lifetimes = KEY
    life.provider.probe_answer = lambda task: works(task, KEY)
    await life.connect(lifetimes=KEY.model_copy(update={"ends_in": timedelta(days=8).total_seconds()}))
    await server.sleep(timedelta(days=1, hours=1))
    longer = KEY.model_copy(update={"ends_in": timedelta(days=90).total_seconds()})
    life.provider.probe_answer = lambda task: works(task, longer)
    await server.sleep(timedelta(days=2))


SCENARIOS: list[Scenario] = [
    recorded_late,
    waited_for,
    connected,
    refreshed,
    continued_as_new,
    forced,
    degraded_and_recovered,
    application_refused,
    dead_then_reconnected,
    suspected,
    cleared_of_suspicion,
    reported_meanwhile,
    uninstalled,
    announced_close_to_the_grant,
    disconnected,
    sealed,
    key_probed_then_dead,
    ended_without_refresh_token,
    expired_without_a_probe,
    degraded_after_ten_minutes,
    end_announced,
    kept_from_idling,
    forced_before_a_round,
    forced_and_failed,
    told_to_wait,
    crowded,
    late_and_accepted,
    late_and_overtaking,
    answered_by_a_grant,
    application_deleted,
    reminded_then_reconnected,
    reminded_of_what_lost_its_application,
    degraded_in_lists,
    end_announced_and_put_off,
]

DELIVERIES = {
    "delivery_at_once": [AttemptOutcome(delivered=True, note="delivered (HTTP 200)")],
    "delivery_retried": [
        AttemptOutcome(note="the endpoint answered HTTP 500"),
        AttemptOutcome(retry_after=600.0, note="the endpoint answered HTTP 429"),
        AttemptOutcome(delivered=True, note="delivered (HTTP 200)"),
    ],
    "delivery_exhausted": [AttemptOutcome(note="the endpoint answered HTTP 500")] * 10,
    "delivery_gone": [AttemptOutcome(stop=True, note="the endpoint is gone (HTTP 410) and was disabled")],
    "delivery_resumed": [
        AttemptOutcome(note="the endpoint answered HTTP 500"),
        AttemptOutcome(delivered=True, note="delivered (HTTP 200)"),
    ],
    "delivery_that_ended_with_its_attempt": [
        AttemptOutcome(note="HTTP 503"),
        AttemptOutcome(delivered=True, closed=True, note="HTTP 200"),
    ],
    "delivery_deferred": [
        AttemptOutcome(deferred=True, retry_after=12.0, note="the endpoint has enough on its hands"),
        AttemptOutcome(note="HTTP 503"),
        AttemptOutcome(deferred=True, retry_after=3.0, note="the endpoint has enough on its hands"),
        AttemptOutcome(delivered=True, closed=True, note="HTTP 200"),
    ],
    "delivery_disabled": [
        AttemptOutcome(note="HTTP 503"),
        AttemptOutcome(stop=True, note="the endpoint is disabled"),
    ],
    "delivery_of_an_older_round": [
        AttemptOutcome(note="HTTP 503"),
        AttemptOutcome(stop=True, closed=True, note="nothing is left to send"),
    ],
}
ATTEMPTS_BEFORE = {"delivery_resumed": 2}

UPKEEP = "upkeep_round"
REMOVAL = "removal"
WAITING = "waiting"
INBOX = "inbox"
REPLAYS = {
    "replay": [
        ReplayPage(position=100, until=250, replayed=60),
        ReplayPage(position=100, until=250, replayed=60, is_full=True),
        ReplayPage(position=100, until=250, replayed=60, is_full=True),
        ReplayPage(position=200, until=250, replayed=90),
        ReplayPage(position=250, until=250, replayed=99, is_over=True),
    ],
    "replay_stopped": [
        ReplayPage(position=100, until=250, replayed=60),
        ReplayPage(position=100, until=250, replayed=60, is_over=True, note="stopped: the endpoint was disabled"),
    ],
}


async def record_waiting(server: WorkflowEnvironment) -> None:
    """A wait that is told, one that is given up, and one for a workflow that was missing."""
    async with living(server.client, Provider()) as life, waiting_room(server.client):
        missing = await life.wait()
        await server.sleep(timedelta(seconds=8))
        await life.connect()
        await missing.result()
        await _save(missing, "waiting_for_what_was_missing")
    async with living(server.client, Provider()) as life, waiting_room(server.client):
        await die(life, server)
        given_up = await life.wait()
        await life.until_waited_for(1)
        await given_up.cancel()
        await life.until_waited_for(0)
        await _save(given_up, "waiting_given_up")
        told = await life.wait()
        await life.until_waited_for(1)
        await life.connect(generation=2)
        await told.result()
        await _save(told, WAITING)


async def record_connection(server: WorkflowEnvironment, scenario: Scenario) -> None:
    async with living(server.client, Provider()) as life:
        await scenario(life, server)
        asked = DescribeWorkflowExecutionRequest(
            namespace=server.client.namespace, execution=WorkflowExecution(workflow_id=life.handle.id)
        )
        # Not by the SDK, which cannot read an unset date as the skipping server gives it.
        latest = (await server.client.workflow_service.describe_workflow_execution(asked)).workflow_execution_info
        first = latest.first_run_id
        handle = server.client.get_workflow_handle(life.handle.id, run_id=first)
        await _save(handle, f"connection_{scenario.__name__}")
        if latest.execution.run_id != first:
            await _save(life.handle, f"connection_{scenario.__name__}_next_run")


async def record_delivery(server: WorkflowEnvironment, name: str, outcomes: list[AttemptOutcome]) -> None:
    answers = iter(outcomes)

    @activity.defn(name=Activity.DELIVER_WEBHOOK)
    async def deliver(task: AttemptTask) -> AttemptOutcome:
        return next(answers)

    @activity.defn(name=Activity.CLOSE_DELIVERY)
    async def close(task: CloseDeliveryTask) -> None:
        return None

    task = DeliveryTask(
        org_id="org",
        environment=Environment.TEST,
        event_id=str(uuid4()),
        endpoint_id="we_1",
        attempts=ATTEMPTS_BEFORE.get(name, 0),
    )
    async with Worker(server.client, task_queue=TASK_QUEUE, activities=[deliver, close]):
        await server.client.execute_workflow(Workflow.DELIVERY, task, id=name, task_queue=TASK_QUEUE)
        await _save(server.client.get_workflow_handle(name), name)


async def record_upkeep(server: WorkflowEnvironment) -> None:
    """A round of two pages, and a sweep that fails."""

    @activity.defn(name=Activity.SWEEP_DELIVERIES)
    async def deliveries(task: SweepTask) -> SweepOutcome:
        return SweepOutcome(after=None if task.after else "one", mended=1)

    @activity.defn(name=Activity.SWEEP_FLEET)
    async def fleet(task: SweepTask) -> SweepOutcome:
        raise ApplicationError("the database cannot be reached")

    state = UpkeepState(todo=[Activity.SWEEP_DELIVERIES, Activity.SWEEP_FLEET])
    async with Worker(server.client, task_queue=TASK_QUEUE, activities=[deliveries, fleet]):
        await server.client.execute_workflow(Workflow.UPKEEP, state, id=UPKEEP, task_queue=TASK_QUEUE)
        await _save(server.client.get_workflow_handle(UPKEEP), UPKEEP)


async def record_removal(server: WorkflowEnvironment) -> None:
    """Two rounds, of which the first has two pages; then something is on its way, and the rows go in two steps."""
    told = iter(
        [
            RemovalPage(after="con_1", total=3, done=0),
            RemovalPage(after=None, total=3, done=1, failed=1),
            RemovalPage(after=None, total=3, done=3),
        ]
    )
    left, forgotten = iter([1, 0]), iter([False, True])

    @activity.defn(name=Activity.REMOVE_CONNECTIONS)
    async def remove(task: RemovalPageTask) -> RemovalPage:
        return next(told)

    @activity.defn(name=Activity.SETTLE_REMOVAL)
    async def settle(task: RemovalTask) -> int:
        return next(left)

    @activity.defn(name=Activity.FINISH_REMOVAL)
    async def finish(task: RemovalTask) -> bool:
        return next(forgotten)

    task = RemovalTask(
        id="rem_1", org_id="org", environment=Environment.TEST, kind=RemovalKind.LINKED_ACCOUNT, subject="acme"
    )
    async with Worker(server.client, task_queue=TASK_QUEUE, activities=[remove, settle, finish]):
        await server.client.execute_workflow(
            Workflow.REMOVAL, RemovalState(task=task, total=3), id=REMOVAL, task_queue=TASK_QUEUE
        )
        await _save(server.client.get_workflow_handle(REMOVAL), REMOVAL)


async def record_inbox(server: WorkflowEnvironment) -> None:
    """Two pages, while more comes; a look at that, of which one event could not be told."""
    outcomes = iter(
        [
            DispatchOutcome(after="pev_1", events=100, told=120),
            DispatchOutcome(after=None, events=3, told=3),
            DispatchOutcome(after=None, events=1, told=0, failed=1),
        ]
    )
    handle = server.client.get_workflow_handle(INBOX)

    @activity.defn(name=Activity.DISPATCH_EVENTS)
    async def dispatch(task: DispatchTask) -> DispatchOutcome:
        if task.after:
            await handle.signal(Signal.EVENTS_CAME)
        return next(outcomes)

    task = InboxTask(org_id="org", environment=Environment.TEST, slug="slack")
    async with Worker(server.client, task_queue=TASK_QUEUE, activities=[dispatch]):
        await server.client.execute_workflow(
            Workflow.INBOX, InboxState(task=task), id=INBOX, task_queue=TASK_QUEUE, start_signal=Signal.EVENTS_CAME
        )
        await _save(handle, INBOX)


async def record_replay(server: WorkflowEnvironment, name: str, pages: list[ReplayPage]) -> None:
    sent = iter(pages)

    @activity.defn(name=Activity.REPLAY_EVENTS)
    async def replay(task: ReplayPageTask) -> ReplayPage:
        return next(sent)

    @activity.defn(name=Activity.FINISH_REPLAY)
    async def finish(task: FinishReplayTask) -> None:
        return None

    task = ReplayTask(id="rep_1", org_id="org", environment=Environment.TEST, endpoint_id="we_1")
    async with Worker(server.client, task_queue=TASK_QUEUE, activities=[replay, finish]):
        await server.client.execute_workflow(Workflow.REPLAY, ReplayState(task=task), id=name, task_queue=TASK_QUEUE)
        await _save(server.client.get_workflow_handle(name), name)


async def _save(handle: WorkflowHandle[Any, Any], name: str) -> None:
    text = (await handle.fetch_history()).to_json()
    for place in (STACK, IDENTITY):  # of the machine that recorded it
        text = place.sub(r'\1""', text)
    (FOLDER / f"{name}.json").write_text(text + "\n")


async def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for scenario in SCENARIOS:
        if not (FOLDER / f"connection_{scenario.__name__}.json").exists():
            async with await start_skipping() as server:
                await record_connection(server, scenario)
    for name, outcomes in DELIVERIES.items():
        if not (FOLDER / f"{name}.json").exists():
            async with await start_skipping() as server:
                await record_delivery(server, name, outcomes)
    if not (FOLDER / f"{UPKEEP}.json").exists():
        async with await start_skipping() as server:
            await record_upkeep(server)
    if not (FOLDER / f"{REMOVAL}.json").exists():
        async with await start_skipping() as server:
            await record_removal(server)
    if not (FOLDER / f"{INBOX}.json").exists():
        async with await start_skipping() as server:
            await record_inbox(server)
    if not (FOLDER / f"{WAITING}.json").exists():
        async with await start_skipping() as server:
            await record_waiting(server)
    for name, pages in REPLAYS.items():
        if not (FOLDER / f"{name}.json").exists():
            async with await start_skipping() as server:
                await record_replay(server, name, pages)
    print(f"{len(list(FOLDER.glob('*.json')))} histories in {FOLDER.name}/")


if __name__ == "__main__":
    asyncio.run(main())
    sys.stdout.flush()
    os._exit(0)  # the SDK's threads and the interpreter's end do not go together
