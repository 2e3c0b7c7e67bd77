"""Where the plugin is given, and what it leaves as the user has it."""

from __future__ import annotations

import asyncio
import logging
import warnings
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Interceptor, Replayer, UnsandboxedWorkflowRunner, Worker
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from everlink import EverlinkPlugin, Wait
from everlink.contract import ConnectionStatus
from tests.plugin import users
from tests.plugin.api import Api
from tests.plugin.world import WORKFLOWS, Syncing, details, new_id, start, until, working

ACTIVE, DEAD = ConnectionStatus.ACTIVE, ConnectionStatus.REAUTH_REQUIRED


def plugin(url: str = "http://unused") -> EverlinkPlugin:
    return EverlinkPlugin(url, "tk_user", poll=timedelta(milliseconds=200))


async def pauses_and_resumes(client: Client, api: Api, syncing: Syncing, queue: str) -> None:
    one = new_id()
    api.statuses[one] = DEAD
    handle = await start(client, users.Limited.run, one, None, queue=queue)

    async def waits() -> bool:
        return "acme's Slack" in await details(handle)

    await until(waits)
    api.statuses[one] = ACTIVE
    assert await handle.result() == f"synced {one}"


async def test_a_client_that_has_it_gives_it_to_its_workers(server: WorkflowEnvironment, api: Api) -> None:
    client = Client(**{**server.client.config(), "plugins": [plugin(api.url)]})
    syncing, queue = Syncing(api), uuid4().hex
    async with Worker(client, task_queue=queue, workflows=WORKFLOWS, activities=[syncing.sync]):
        await pauses_and_resumes(client, api, syncing, queue)


async def test_both_of_them_have_it(server: WorkflowEnvironment, api: Api) -> None:
    client = Client(**{**server.client.config(), "plugins": [plugin(api.url)]})
    syncing, queue = Syncing(api), uuid4().hex
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the SDK's own, that this may be a mistake
        worker = Worker(
            client, task_queue=queue, workflows=WORKFLOWS, activities=[syncing.sync], plugins=[plugin(api.url)]
        )
    async with worker:
        await pauses_and_resumes(client, api, syncing, queue)


async def test_one_plugin_serves_workers_at_once_and_one_after_the_other(server: WorkflowEnvironment, api: Api) -> None:
    syncing, shared = Syncing(api), plugin(api.url)

    def worker(queue: str) -> Worker:
        return Worker(server.client, task_queue=queue, workflows=WORKFLOWS, activities=[syncing.sync], plugins=[shared])

    async with worker("first"):
        async with worker("second"):
            await pauses_and_resumes(server.client, api, syncing, "second")
        await pauses_and_resumes(server.client, api, syncing, "first")
    async with worker("third"):
        await pauses_and_resumes(server.client, api, syncing, "third")


async def test_it_closes_what_it_opened(server: WorkflowEnvironment, api: Api) -> None:
    syncing, shared = Syncing(api), plugin(api.url)
    queue = uuid4().hex
    async with Worker(
        server.client, task_queue=queue, workflows=WORKFLOWS, activities=[syncing.sync], plugins=[shared]
    ):
        await pauses_and_resumes(server.client, api, syncing, queue)
        opened = shared._client._transport._http
    assert opened.is_closed


async def test_it_works_without_a_sandbox(server: WorkflowEnvironment, api: Api) -> None:
    syncing = Syncing(api)
    async with working(server.client, syncing, workflow_runner=UnsandboxedWorkflowRunner()) as queue:
        await pauses_and_resumes(server.client, api, syncing, queue)


async def test_a_sandbox_of_the_users_stays(server: WorkflowEnvironment) -> None:
    restrictions = SandboxRestrictions.default.with_passthrough_modules("theirs")
    worker = Worker(
        server.client,
        task_queue=uuid4().hex,
        workflows=[users.Sync],
        workflow_runner=SandboxedWorkflowRunner(restrictions=restrictions),
        plugins=[plugin()],
    )
    runner = worker.config(active_config=True)["workflow_runner"]
    assert isinstance(runner, SandboxedWorkflowRunner)
    assert runner.restrictions.passthrough_modules >= restrictions.passthrough_modules | {"everlink", "httpx"}


async def test_a_runner_of_the_users_stays(server: WorkflowEnvironment) -> None:
    runner = UnsandboxedWorkflowRunner()
    worker = Worker(
        server.client, task_queue=uuid4().hex, workflows=[users.Sync], workflow_runner=runner, plugins=[plugin()]
    )
    assert worker.config(active_config=True)["workflow_runner"] is runner


async def test_converter_and_interceptors_of_the_users_stay(server: WorkflowEnvironment, api: Api) -> None:
    class Theirs(Interceptor):
        pass

    theirs, syncing = Theirs(), Syncing(api)
    client = Client(**{**server.client.config(), "data_converter": pydantic_data_converter})
    async with working(client, syncing, interceptors=[theirs]) as queue:
        await pauses_and_resumes(client, api, syncing, queue)
    with_it = Client(**{**client.config(), "plugins": [plugin()]})
    assert with_it.data_converter is pydantic_data_converter
    worker = Worker(with_it, task_queue=uuid4().hex, workflows=[users.Sync], interceptors=[theirs])
    assert worker.config(active_config=True)["interceptors"][0] is theirs


async def test_a_worker_without_activities_gets_none(server: WorkflowEnvironment) -> None:
    worker = Worker(server.client, task_queue=uuid4().hex, workflows=[users.Sync], plugins=[plugin()])
    assert not worker.config(active_config=True)["activities"]


async def test_workflows_and_activities_may_have_workers_of_their_own(server: WorkflowEnvironment, api: Api) -> None:
    """The wait's activity goes to the queue of the activity that failed, where it is known."""
    syncing, queue = Syncing(api), uuid4().hex
    workflows = Worker(server.client, task_queue=queue, workflows=WORKFLOWS, plugins=[plugin()])
    theirs = f"{queue}-activities"
    activities = Worker(server.client, task_queue=theirs, activities=[syncing.sync], plugins=[plugin(api.url)])
    one = new_id()
    api.statuses[one] = DEAD
    async with workflows, activities:
        handle = await start(server.client, users.Elsewhere.run, one, theirs, queue=queue)

        async def asked() -> bool:
            return bool(api.asked)

        await until(asked)
        api.statuses[one] = ACTIVE
        assert await handle.result() == f"synced {one}"


async def test_nothing_is_said_when_workflows_that_wait_are_evicted(
    server: WorkflowEnvironment, api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    syncing = Syncing(api)
    with caplog.at_level(logging.WARNING):
        async with working(server.client, syncing, max_cached_workflows=0) as queue:
            await asyncio.gather(*(pauses_and_resumes(server.client, api, syncing, queue) for _ in range(3)))
    assert not caplog.records


def test_a_wait_cannot_be_shorter_than_nothing() -> None:
    with pytest.raises(ValueError, match="shorter"):
        Wait.at_most(timedelta(seconds=-1))
    with pytest.raises(ValueError, match="FOREVER"):  # no date is that late: the wait could not begin
        Wait.at_most(timedelta.max)


def test_a_replayer_takes_it() -> None:
    config: Any = Replayer(workflows=[users.Sync], plugins=[plugin()]).config(active_config=True)
    assert "everlink" in config["workflow_runner"].restrictions.passthrough_modules
