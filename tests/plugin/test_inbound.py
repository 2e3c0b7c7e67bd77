"""What activities of a user's worker leave in a history: no credential, and a dead connection in its words."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
from temporalio import activity, workflow
from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowHandle
from temporalio.common import RetryPolicy
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.converter import DataConverter
from temporalio.exceptions import ActivityError, ApplicationError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

import everlink
from everlink import Client, Credential
from everlink.contract import ReauthReason
from everlink.plugin.failures import DeadConnection
from everlink.plugin.inbound import ActivitySide

PLANTED = 'planted-"7f3a"-ü/+='
RETRY = RetryPolicy(maximum_attempts=2, initial_interval=timedelta(milliseconds=10))


@workflow.defn
class Runs:
    """Runs one activity, and answers how its last failure was typed."""

    @workflow.run
    async def run(self, name: str) -> str:
        try:
            await workflow.execute_activity(name, start_to_close_timeout=timedelta(seconds=20), retry_policy=RETRY)
        except ActivityError as error:
            return getattr(error.cause, "type", None) or ""
        return "done"


@dataclass
class Inside:
    """In what a user may return."""

    credential: Credential


class Everlink:
    """Answers as the API does, of one connection."""

    def __init__(self) -> None:
        self.token: httpx.Response | None = None
        self.connection: httpx.Response | None = None

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/token"):
            return self.token or httpx.Response(200, json=TOKEN)
        return self.connection or httpx.Response(200, json=CONNECTION)


TOKEN = {
    "connection_id": "con_1",
    "access_token": PLANTED,
    "token_type": "Bearer",
    "fields": None,
    "extra": {"instance_url": "https://acme.example", "authed_user": {"access_token": "planted-of-the-user"}},
    "expires_at": None,
    "ends_at": None,
    "generation": 3,
    "headers": {"X-Token": "planted"},
    "query": {},
    "refusals": [{"status": 401}],
}
CONNECTION = {
    "id": "con_1",
    "linked_account_id": "acme",
    "slug": "slack",
    "identifier": "ada",
    "display_name": None,
    "auth_type": "oauth2",
    "status": "reauth_required",
    "health": "ok",
    "reason": "access_revoked",
    "status_since": "2026-11-30T07:00:00Z",
    "connected_at": None,
    "sequence": 2,
    "workflow_url": "",
}
DEAD = httpx.Response(
    409,
    json={"error_code": "reauth_required", "message": "the customer has to reconnect", "reason": "access_revoked"},
)


async def secret() -> str:
    async with everlink.credential("con_1") as credential:
        assert credential.access_token
        return credential.access_token


@activity.defn
async def uses() -> str:
    assert await secret() == PLANTED
    return "https://acme.example"


@activity.defn
async def returns() -> dict[str, list[str]]:
    return {"said": [f"Bearer {await secret()}"]}


@activity.defn
async def returns_bytes() -> bytes:
    return b"GET / HTTP/1.1\r\nX: " + (await secret()).encode()


@activity.defn
async def returns_an_address() -> str:
    return str(httpx.URL("https://acme.example", params={"key": await secret()}))


@activity.defn
async def returns_credential() -> Credential:
    async with everlink.credential("con_1") as credential:
        return credential


@activity.defn
async def returns_it_inside() -> Inside:
    async with everlink.credential("con_1") as credential:
        return Inside(credential)


@activity.defn
async def returns_what_else_was_granted() -> str:
    async with everlink.credential("con_1") as credential:
        return str(credential.extra["authed_user"]["access_token"])


@activity.defn
async def heartbeats() -> None:
    activity.heartbeat("at page", 7)
    activity.heartbeat("at page", await secret())


@activity.defn
async def raises() -> None:
    raise ValueError(f"cannot use {await secret()}")


@activity.defn
async def raises_repr() -> None:
    raise KeyError(await secret())


@activity.defn
async def raises_with_cause() -> None:
    try:
        raise RuntimeError(await secret())
    except RuntimeError as error:
        raise ValueError("cannot") from error


@activity.defn
async def raises_group() -> None:
    raise ExceptionGroup("some", [ValueError(await secret())])


@activity.defn
async def raises_with_details() -> None:
    raise ApplicationError("cannot", {"token": await secret()}, type="Mine", non_retryable=True)


@activity.defn
async def raises_for_status() -> None:
    request = httpx.Request("GET", "https://acme.example", params={"key": await secret()})
    httpx.Response(500, request=request).raise_for_status()


LEAKS = {
    returns: "TokenInResult",
    returns_bytes: "TokenInResult",
    returns_an_address: "TokenInResult",
    returns_credential: "TokenInResult",
    returns_it_inside: "TokenInResult",
    returns_what_else_was_granted: "TokenInResult",
    heartbeats: "TokenInResult",
    raises: "ValueError",
    raises_repr: "KeyError",
    raises_with_cause: "ValueError",
    raises_group: "ExceptionGroup",
    raises_with_details: "Mine",
    raises_for_status: "HTTPStatusError",
}


@activity.defn
async def groups() -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(asyncio.sleep(60))
        group.create_task(secret())


@activity.defn
def in_a_thread() -> None:
    asyncio.run(secret())


Run = Callable[..., Any]


@pytest.fixture
def api() -> Everlink:
    return Everlink()


@pytest.fixture(params=["default", "pydantic"])
async def run(server: WorkflowEnvironment, api: Everlink, request: pytest.FixtureRequest) -> AsyncIterator[Run]:
    """Runs an activity in a workflow; answers how it failed, and the history."""
    converter = DataConverter.default if request.param == "default" else pydantic_data_converter
    config = {**server.client.config(), "data_converter": converter}
    temporal = type(server.client)(**config)
    http = httpx.AsyncClient(transport=httpx.MockTransport(api))
    side = ActivitySide(Client("https://everlink.example", "tk_x_y", http=http), "everlink", 60.0)
    queue = f"queue-{uuid4().hex}"

    async def run(what: Callable[..., Any]) -> tuple[str, WorkflowHandle[Any, Any]]:
        name = what.__name__
        handle = await temporal.start_workflow(Runs.run, name, id=f"user-{uuid4().hex}", task_queue=queue)
        return await handle.result(), handle

    with ThreadPoolExecutor(1) as threads:
        async with Worker(
            temporal,
            task_queue=queue,
            workflows=[Runs],
            activities=[uses, groups, in_a_thread, *LEAKS],
            interceptors=[side],
            workflow_runner=UnsandboxedWorkflowRunner(),
            activity_executor=threads,
        ):
            yield run


async def test_an_activity_uses_its_credential(run: Run) -> None:
    assert (await run(uses))[0] == "done"


@pytest.mark.filterwarnings("ignore:The `dict` method")  # by which the default converter writes a model in a dataclass
@pytest.mark.parametrize("leak", LEAKS, ids=lambda leak: leak.__name__)
async def test_no_credential_comes_into_a_history(
    run: Run, leak: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    kind, handle = await run(leak)
    assert kind == LEAKS[leak]
    history = b"".join([event.SerializeToString() async for event in handle.fetch_history_events()])
    for text in (history.decode(errors="replace"), caplog.text):
        assert "planted" not in text
    is_retried = leak in (raises, raises_repr, raises_with_cause, raises_group, raises_for_status)
    assert await attempts(handle) == (2 if is_retried else 1)


async def attempts(handle: WorkflowHandle[Any, Any]) -> int:
    async for event in handle.fetch_history_events():
        if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_STARTED:
            return event.activity_task_started_event_attributes.attempt
    raise AssertionError("no activity ran")


async def dead_in(handle: WorkflowHandle[Any, Any]) -> DeadConnection:
    """What the history says of the failure."""
    async for event in handle.fetch_history_events():
        if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_FAILED:
            failure = event.activity_task_failed_event_attributes.failure
            assert failure.application_failure_info.non_retryable
            [detail] = failure.application_failure_info.details.payloads
            return DeadConnection.model_validate_json(detail.data)
    raise AssertionError("no activity failed")


@pytest.mark.parametrize("what", [uses, groups], ids=lambda one: one.__name__)
async def test_a_dead_connection_tells_the_workflow_whose_it_is(run: Run, api: Everlink, what: Run) -> None:
    api.token = DEAD
    kind, handle = await run(what)
    dead = await dead_in(handle)
    assert kind == "ReauthRequired" and dead.since is not None
    assert (dead.connection_id, dead.application, dead.linked_account_id) == ("con_1", "slack", "acme")
    assert (dead.reason, dead.endpoint, dead.at_most) == (ReauthReason.ACCESS_REVOKED, "everlink", 60.0)


async def test_a_dead_connection_that_cannot_be_looked_up_is_waited_for_as_well(run: Run, api: Everlink) -> None:
    api.token, api.connection = DEAD, httpx.Response(403, json={"error_code": "scope_missing", "message": "no"})
    kind, handle = await run(uses)
    dead = await dead_in(handle)
    assert kind == "ReauthRequired"
    assert (dead.connection_id, dead.application, dead.reason) == ("con_1", "", ReauthReason.ACCESS_REVOKED)


@pytest.mark.parametrize(("status", "code"), [(409, "connection_disconnected"), (404, "connection_not_found")])
async def test_what_never_lives_again_is_not_waited_for(run: Run, api: Everlink, status: int, code: str) -> None:
    api.token = httpx.Response(status, json={"error_code": code, "message": "it has ended"})
    kind, handle = await run(uses)
    assert kind == code and await attempts(handle) == 1


async def test_a_thread_gets_none(run: Run) -> None:
    kind, handle = await run(in_a_thread)
    assert kind == "RuntimeError"
    history = b"".join([event.SerializeToString() async for event in handle.fetch_history_events()])
    assert b"async def" in history
