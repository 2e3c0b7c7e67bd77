"""The worker process that is measured: `python -m bench.worker [workflows to cache]`.

Everlink's own worker (`worker.make_worker` and its plugin) that also knows the empty loop and counts what it
has done. It answers each line on its standard input by one of JSON, and ends with the input.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import json
import logging
import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from temporalio.client import Client
from temporalio.plugin import SimplePlugin
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor, WorkerConfig

from activities.shared import open_shared
from bench.empty import EmptyLoop, Signalled, moment, nothing
from everlink.contract import CredentialOutcome, Verdict
from store.settings import Settings
from worker import make_worker, plugin


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


def resident_bytes() -> int:
    """Memory that is really in use: garbage collected, free pages given back."""
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


async def main() -> None:
    logging.basicConfig(level=logging.WARNING)
    logging.getLogger("temporalio").setLevel(logging.ERROR)  # a workflow that the bench terminates is no news
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # the SDK's core logs to standard output
    settings, count, loop = Settings(), Count(), asyncio.get_running_loop()
    cached = int(sys.argv[1]) if len(sys.argv) > 1 else None
    async with open_shared(settings) as shared:
        plugins = [plugin(shared, sandboxed=False), BenchPlugin(count, cached)]
        shared.temporal = await Client.connect(
            settings.temporal_address, namespace=settings.temporal_namespace, plugins=plugins
        )
        async with make_worker(shared.temporal, settings):
            print("ready", file=answers, flush=True)
            while line := await loop.run_in_executor(None, sys.stdin.readline):
                answer = {"resident": resident_bytes()} if line.strip() == "memory" else dict(count.done)
                print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    asyncio.run(main())
