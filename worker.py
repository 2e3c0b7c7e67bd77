"""The worker process: one plugin for worker, tests and replayer; connects; runs until told to stop."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from dataclasses import replace
from datetime import timedelta

from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
    ScheduleUpdate,
)
from temporalio.common import VersioningBehavior, WorkerDeploymentVersion
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.plugin import SimplePlugin
from temporalio.service import RPCError
from temporalio.worker import (
    PollerBehaviorAutoscaling,
    UnsandboxedWorkflowRunner,
    Worker,
    WorkerDeploymentConfig,
    WorkflowRunner,
)
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner

from activities import activities
from activities.nexus import CancelsWaitsOnly, EverlinkServiceHandler
from activities.shared import Shared, open_shared
from everlink.contract import NEXUS_TASK_QUEUE, TASK_QUEUE, UPKEEP_SCHEDULE, UpkeepState, Workflow
from providers.catalog import CatalogError
from store.codec import client_plugin
from store.settings import Settings
from store.vault import VaultError
from workflows import NEXUS_WORKFLOWS, WORKFLOWS

# Longer than a token request, its deadline and the write behind it; compose's grace period is longer still.
GRACEFUL_SHUTDOWN = timedelta(seconds=45)
DEPLOYMENT = "everlink"
UPKEEP_EVERY = timedelta(minutes=1)
UPKEEP_TIMEOUT = timedelta(hours=1)  # a round that hangs does not keep the next ones from being made

log = logging.getLogger("everlink.worker")


def plugin(shared: Shared | None = None, *, sandboxed: bool = True) -> SimplePlugin:
    """Workflows, converter and sandbox for client, worker and replayer; activities where there is a store.

    The tests hold the workflows to be deterministic, in the sandbox and by replay. The worker does without it:
    it costs a refresh a quarter of the worker's CPU.
    """
    return SimplePlugin(
        "everlink.worker",
        data_converter=pydantic_data_converter,
        workflows=WORKFLOWS,
        activities=activities(shared) if shared is not None else None,
        workflow_runner=_sandboxed if sandboxed else UnsandboxedWorkflowRunner(),
    )


def _sandboxed(runner: WorkflowRunner | None) -> WorkflowRunner:
    """Modules that are deterministic and costly to load again for every workflow pass through."""
    if not isinstance(runner, SandboxedWorkflowRunner):
        return runner or SandboxedWorkflowRunner()
    return SandboxedWorkflowRunner(
        restrictions=runner.restrictions.with_passthrough_modules("everlink", "pydantic", "httpx", "workflows")
    )


def make_worker(client: Client, settings: Settings) -> Worker:
    """A worker on a client that was connected with the plugin."""
    return Worker(
        client,
        task_queue=TASK_QUEUE,
        graceful_shutdown_timeout=GRACEFUL_SHUTDOWN,
        workflow_task_poller_behavior=PollerBehaviorAutoscaling(),
        activity_task_poller_behavior=PollerBehaviorAutoscaling(),
        deployment_config=_versioning(settings),
    )


def make_nexus_worker(client: Client, shared: Shared, settings: Settings) -> Worker:
    """The worker that answers through Nexus, over the client's connection. Its callers read what it writes."""
    plain = client_plugin(settings, encrypts=False)
    return Worker(
        Client(client.service_client, namespace=client.namespace, plugins=[plain]),
        task_queue=NEXUS_TASK_QUEUE,
        workflows=NEXUS_WORKFLOWS,
        nexus_service_handlers=[EverlinkServiceHandler(shared)],
        interceptors=[CancelsWaitsOnly(shared)],
        workflow_runner=UnsandboxedWorkflowRunner(),
        workflow_task_poller_behavior=PollerBehaviorAutoscaling(),
        nexus_task_poller_behavior=PollerBehaviorAutoscaling(),
        deployment_config=_versioning(settings),
    )


def _versioning(settings: Settings) -> WorkerDeploymentConfig | None:
    if settings.build_id is None:
        return None
    return WorkerDeploymentConfig(
        version=WorkerDeploymentVersion(deployment_name=DEPLOYMENT, build_id=settings.build_id),
        use_worker_versioning=True,
        default_versioning_behavior=VersioningBehavior.PINNED,
    )


async def schedule_upkeep(client: Client) -> None:
    """Rounds of upkeep. Idempotent; an operator's pause stays."""
    wanted = Schedule(
        action=ScheduleActionStartWorkflow(
            Workflow.UPKEEP,
            UpkeepState(),
            id=UPKEEP_SCHEDULE,
            task_queue=TASK_QUEUE,
            execution_timeout=UPKEEP_TIMEOUT,
            static_summary="start again what has lost its workflow",
        ),
        spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(every=UPKEEP_EVERY)]),
        # A round that was missed is made up for by the next.
        policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP, catchup_window=timedelta(minutes=1)),
    )
    try:
        await client.create_schedule(UPKEEP_SCHEDULE, wanted)
    except ScheduleAlreadyRunningError:
        await client.get_schedule_handle(UPKEEP_SCHEDULE).update(
            lambda found: ScheduleUpdate(replace(wanted, state=found.description.schedule.state))
        )


async def run(settings: Settings) -> None:
    """Work until SIGTERM or SIGINT, then finish what must not be cut off."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with open_shared(settings) as shared:
        shared.temporal = await Client.connect(
            settings.temporal_address,
            namespace=settings.temporal_namespace,
            plugins=[plugin(shared, sandboxed=False), client_plugin(settings)],
        )
        await schedule_upkeep(shared.temporal)
        async with make_worker(shared.temporal, settings), make_nexus_worker(shared.temporal, shared, settings):
            log.info("worker ready on task queue %s at %s", TASK_QUEUE, settings.temporal_address)
            await stop.wait()
            log.info("worker stopping")


def main() -> None:
    settings = Settings()
    logging.basicConfig(level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs URLs
    try:
        asyncio.run(run(settings))
    except (VaultError, CatalogError) as error:
        sys.exit(f"everlink worker: {error}")
    except (RuntimeError, RPCError) as error:  # the first is how the SDK says that the server cannot be reached
        sys.exit(f"everlink worker: Temporal at {settings.temporal_address}: {error}")


if __name__ == "__main__":
    main()
