"""`make histories`: histories of a user's workflows, with a wait in them and without, for the replay test.

What a released plugin has written must replay with the present one. Existing files are kept.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

from temporalio.client import WorkflowHandle
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from everlink.contract import ConnectionStatus
from tests.plugin import users
from tests.plugin.api import Api
from tests.plugin.service import Service, serving
from tests.plugin.world import WORKFLOWS, Refused, Syncing, details, start, until, working
from tests.record_histories import IDENTITY, STACK
from tests.servers import BIN

FOLDER = Path(__file__).parent / "histories"
ACTIVE, DEAD = ConnectionStatus.ACTIVE, ConnectionStatus.REAUTH_REQUIRED
ONE = "con_one"

Handle = WorkflowHandle[Any, Any]
Scenario = Callable[[WorkflowEnvironment, Api, Service], Awaitable[Handle]]


async def waits(handle: Handle, syncing: Syncing, activities: int = 1) -> None:
    """Until so many activities have met the dead connection."""

    async def shows() -> bool:
        return syncing.runs[ONE] == activities and (await details(handle)).startswith("Waiting")

    await until(shows)


async def reconnect_by_nexus(api: Api, service: Service) -> None:
    async def asked() -> bool:
        return bool(service.asked[ONE])

    await until(asked)
    api.statuses[ONE] = ACTIVE
    await service.settle(ONE)


async def without_the_plugin(server: WorkflowEnvironment, api: Api, service: Service) -> Handle:
    api.statuses[ONE] = ACTIVE
    queue = uuid4().hex
    plain = UnsandboxedWorkflowRunner()  # the plugin takes `everlink` through the sandbox
    async with Worker(
        server.client, task_queue=queue, workflows=WORKFLOWS, activities=[Syncing(api).sync], workflow_runner=plain
    ):
        handle = await start(server.client, users.Sync.run, ONE, queue=queue)
        await handle.result()
    return handle


async def waited_by_asking(server: WorkflowEnvironment, api: Api, service: Service) -> Handle:
    syncing = Syncing(api)
    async with working(server.client, syncing) as queue:
        handle = await start(server.client, users.Sync.run, ONE, queue=queue)
        await waits(handle, syncing)
        api.statuses[ONE] = ACTIVE
        await handle.result()
    return handle


async def waited_by_nexus(server: WorkflowEnvironment, api: Api, service: Service) -> Handle:
    async with working(server.client, Syncing(api, endpoint=service.endpoint)) as queue:
        handle = await start(server.client, users.Sync.run, ONE, queue=queue)
        await reconnect_by_nexus(api, service)
        await handle.result()
    return handle


async def waits_still(server: WorkflowEnvironment, api: Api, service: Service) -> Handle:
    syncing = Syncing(api, endpoint=service.endpoint)
    async with working(server.client, syncing) as queue:
        handle = await start(server.client, users.Sync.run, ONE, queue=queue)
        await waits(handle, syncing)
    return handle


async def waited_as_a_crowd(server: WorkflowEnvironment, api: Api, service: Service) -> Handle:
    syncing = Syncing(api, endpoint=service.endpoint)
    async with working(server.client, syncing) as queue:
        handle = await start(server.client, users.Crowd.run, [ONE] * 10, queue=queue)
        await waits(handle, syncing, 10)
        await reconnect_by_nexus(api, service)
        await handle.result()
    return handle


async def waited_too_long(server: WorkflowEnvironment, api: Api, service: Service) -> Handle:
    async with working(server.client, Syncing(api, endpoint=service.endpoint)) as queue:
        handle = await start(server.client, users.Limited.run, ONE, 2, queue=queue)
        await asyncio.gather(handle.result(), return_exceptions=True)
    return handle


async def waited_in_a_local_activity(server: WorkflowEnvironment, api: Api, service: Service) -> Handle:
    async with working(server.client, Syncing(api, endpoint=service.endpoint)) as queue:
        handle = await start(server.client, users.Local.run, ONE, queue=queue)
        await reconnect_by_nexus(api, service)
        await handle.result()
    return handle


async def cancelled_one_of_several(server: WorkflowEnvironment, api: Api, service: Service) -> Handle:
    syncing = Syncing(api, endpoint=service.endpoint)
    async with working(server.client, syncing) as queue:
        handle = await start(server.client, users.Several.run, ONE, 3, queue=queue)
        await waits(handle, syncing, 3)
        await handle.signal(users.Several.cancel, 1)
        await reconnect_by_nexus(api, service)
        await handle.signal(users.Several.finish)
        await handle.result()
    return handle


async def cancelled_all(server: WorkflowEnvironment, api: Api, service: Service) -> Handle:
    syncing = Syncing(api, endpoint=service.endpoint)
    async with working(server.client, syncing) as queue:
        handle = await start(server.client, users.Catching.run, ONE, queue=queue)
        await waits(handle, syncing)
        await handle.cancel()
        await handle.result()
    return handle


async def refused_twice(server: WorkflowEnvironment, api: Api, service: Service) -> Handle:
    api.statuses[ONE] = ACTIVE
    async with working(server.client, Refused(api, 2)) as queue:
        handle = await start(server.client, users.Sync.run, ONE, queue=queue)
        await handle.result()
    return handle


async def lost_and_begun_again(server: WorkflowEnvironment, api: Api, service: Service) -> Handle:
    async with working(server.client, Syncing(api, endpoint=service.endpoint)) as queue:
        handle = await start(server.client, users.Sync.run, ONE, queue=queue)

        async def asked(times: int) -> bool:
            return len(service.asked[ONE]) == times

        await until(lambda: asked(1))
        await service.settle(ONE, ConnectionStatus.PENDING)
        await until(lambda: asked(2))
        await reconnect_by_nexus(api, service)
        await handle.result()
    return handle


SCENARIOS: list[Scenario] = [
    without_the_plugin,
    waited_by_asking,
    waited_by_nexus,
    waits_still,
    waited_as_a_crowd,
    waited_too_long,
    waited_in_a_local_activity,
    cancelled_one_of_several,
    cancelled_all,
    refused_twice,
    lost_and_begun_again,
]


async def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    async with await WorkflowEnvironment.start_local(
        dev_server_existing_path=str(BIN / "temporal"), dev_server_log_level="error"
    ) as server:
        for scenario in SCENARIOS:
            file = FOLDER / f"{scenario.__name__}.json"
            if file.exists():
                continue
            async with Api() as api, serving(server) as service:
                api.statuses[ONE] = DEAD
                handle = await scenario(server, api, service)
            text = (await handle.fetch_history()).to_json()
            for place in (STACK, IDENTITY):  # of the machine that recorded it
                text = place.sub(r'\1""', text)
            file.write_text(text + "\n")
    print(f"{len(list(FOLDER.glob('*.json')))} histories in {FOLDER.parent.name}/{FOLDER.name}/")


if __name__ == "__main__":
    asyncio.run(main())
    sys.stdout.flush()
    os._exit(0)  # the SDK's threads and the interpreter's end do not go together
