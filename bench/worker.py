"""The worker process that is measured: `python -m bench.worker [--cached=WORKFLOWS] [--metrics=PORT]`.

Everlink's own workers (`worker.make_worker`, `worker.make_nexus_worker` and their plugins); the first also knows the
empty loop and counts what it has done.
"""

from __future__ import annotations

import asyncio
from argparse import ArgumentParser
from collections import Counter
from typing import Any

from temporalio.client import Client
from temporalio.plugin import SimplePlugin
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor, WorkerConfig

from activities.shared import open_shared
from bench.child import answer_lines, measured, standard_output
from bench.empty import EmptyLoop, Signalled, moment, nothing
from everlink.contract import CredentialOutcome, Verdict
from store.settings import Settings
from worker import make_nexus_worker, make_worker, plugin


class Count(Interceptor):
    """Counts the activities that ended well; the same work for either loop."""

    def __init__(self) -> None:
        self.done: Counter[str] = Counter()

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        return _Counting(next, self.done)


class _Counting(ActivityInboundInterceptor):
    def __init__(self, next: ActivityInboundInterceptor, done: Counter[str]) -> None:
        super().__init__(next)
        self._done = done

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        result = await super().execute_activity(input)
        well = not isinstance(result, CredentialOutcome) or result.verdict is Verdict.OK
        self._done["cycles" if well else "failures"] += 1
        return result


class BenchPlugin(SimplePlugin):
    """What the bench adds to the worker."""

    def __init__(self, count: Count, cached: int | None) -> None:
        super().__init__("bench", interceptors=[count], workflows=[EmptyLoop, Signalled], activities=[nothing, moment])
        self._cached = cached

    def configure_worker(self, config: WorkerConfig) -> WorkerConfig:
        config = super().configure_worker(config)
        if self._cached is not None:
            config["max_cached_workflows"] = self._cached
        return config


async def main(cached: int | None, metrics: int | None) -> None:
    settings, count, answers = Settings(), Count(), standard_output()
    async with open_shared(settings) as shared:
        plugins = [plugin(shared, sandboxed=False), BenchPlugin(count, cached)]
        shared.temporal = await Client.connect(
            settings.temporal_address,
            namespace=settings.temporal_namespace,
            plugins=plugins,
            runtime=measured(metrics),
        )
        async with make_worker(shared.temporal, settings), make_nexus_worker(shared.temporal, shared, settings):
            await answer_lines(answers, lambda: dict(count.done))


if __name__ == "__main__":
    options = ArgumentParser()
    options.add_argument("--cached", type=int)
    options.add_argument("--metrics", type=int)
    asyncio.run(main(**vars(options.parse_args())))
