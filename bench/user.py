"""A user's own worker with the plugin: `python -m bench.user [--nexus] [--poll=SECONDS] [--metrics=PORT]`.

In a namespace of its own, without the sandbox, otherwise with the SDK's defaults. Where Everlink is, stands in its
environment.
"""

from __future__ import annotations

import asyncio
import os
import time
from argparse import ArgumentParser
from collections import Counter
from datetime import timedelta

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

with workflow.unsafe.imports_passed_through():
    import everlink
    from bench.child import answer_lines, measured, standard_output
    from bench.empty import Signalled, moment
    from everlink.contract import NEXUS_ENDPOINT

TASK_QUEUE = "user"
TIMEOUT = timedelta(minutes=1)

runs: Counter[str] = Counter()  # of the activity, by connection


@activity.defn
async def use(connection_id: str) -> float:
    """When it ran, by the clock that all processes of the machine share. It had a credential."""
    ran_at = time.time()
    runs[connection_id] += 1
    async with everlink.credential(connection_id):
        return ran_at


@workflow.defn
class Sync:
    """What is resumed beside `Signalled`: it does the same once its connection is active."""

    @workflow.run
    async def run(self, connection_id: str) -> float:
        return await workflow.execute_activity(use, connection_id, start_to_close_timeout=TIMEOUT)


@workflow.defn
class LocalSync:
    """The same by a local activity, so that a crowd of them has begun to wait sooner."""

    @workflow.run
    async def run(self, connection_id: str) -> float:
        return await workflow.execute_local_activity(use, connection_id, start_to_close_timeout=TIMEOUT)


async def main(nexus: bool, poll: float, metrics: int | None) -> None:
    answers = standard_output()
    client = await Client.connect(
        os.environ["BENCH_TEMPORAL"], namespace=os.environ["BENCH_NAMESPACE"], runtime=measured(metrics)
    )
    plugin = everlink.EverlinkPlugin(
        os.environ["BENCH_EVERLINK"],
        os.environ["BENCH_API_KEY"],
        nexus_endpoint=NEXUS_ENDPOINT if nexus else None,
        poll=timedelta(seconds=poll),
    )
    async with Worker(
        client,
        task_queue=TASK_QUEUE,
        workflows=[Sync, LocalSync, Signalled],
        activities=[use, moment],
        plugins=[plugin],
        workflow_runner=UnsandboxedWorkflowRunner(),  # to load each workflow anew costs more than what is measured
    ):
        await answer_lines(answers, lambda: dict(runs))


if __name__ == "__main__":
    options = ArgumentParser()
    options.add_argument("--nexus", action="store_true")
    options.add_argument("--poll", type=float, default=15.0)
    options.add_argument("--metrics", type=int)
    asyncio.run(main(**vars(options.parse_args())))
