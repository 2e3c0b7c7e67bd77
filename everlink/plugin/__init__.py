"""The plugin for a user's own worker: a workflow waits for its customer, and goes on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
from temporalio.plugin import SimplePlugin
from temporalio.worker import Worker, WorkerConfig, WorkflowRunner
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner

from everlink.client import Client
from everlink.plugin.checking import Checking
from everlink.plugin.credentials import Credential, credential
from everlink.plugin.http import http
from everlink.plugin.inbound import ActivitySide
from everlink.plugin.outbound import WorkflowSide
from everlink.plugin.policy import Wait, waiting

__all__ = ["Credential", "EverlinkPlugin", "Wait", "credential", "http", "waiting"]

# Deterministic, and costly to load again for every workflow; what `waiting` says has to reach the interceptor.
PASSED_THROUGH = ("everlink", "httpx", "pydantic")


class EverlinkPlugin(SimplePlugin):
    """`Worker(client, ..., plugins=[EverlinkPlugin(url, api_key)])`, or the same with the client or a `Replayer`.

    Args:
        url: where Everlink's API is.
        api_key: `tk_...` or `pk_...`, with the scopes `read`, `tokens` and, to have a refusal verified, `connect`.
        nexus_endpoint: wait through this Nexus endpoint, which costs the worker nothing; without it, by asking the API.
        wait: how long workflows wait for a customer, where they do not say so themselves (`everlink.waiting`).
        poll: without Nexus, how long until the API is asked again.
        http: your own client for requests to Everlink (proxies, certificates); the caller closes it.
    """

    def __init__(
        self,
        url: str,
        api_key: str,
        *,
        nexus_endpoint: str | None = None,
        wait: Wait = Wait.FOREVER,
        poll: timedelta = timedelta(seconds=15),
        http: httpx.AsyncClient | None = None,
    ) -> None:
        self._client = Client(url, api_key, http=http)
        self._checking = Checking(self._client, poll)
        self._activities = ActivitySide(self._client, nexus_endpoint, wait.seconds)
        self._workers = 0
        super().__init__(
            "everlink.EverlinkPlugin",
            interceptors=[self._activities, WorkflowSide()],
            activities=self._with_checking,
            workflow_runner=_passing_through,
        )

    def configure_worker(self, config: WorkerConfig) -> WorkerConfig:
        """Once, also where both the client and the worker were given a plugin."""
        if any(isinstance(interceptor, WorkflowSide) for interceptor in config.get("interceptors") or ()):
            return config
        return super().configure_worker(config)

    def _with_checking(self, activities: Sequence[Callable[..., Any]] | None) -> Sequence[Callable[..., Any]]:
        """A worker without activities has none that could fail, and polls for none."""
        return [*activities, self._checking.await_active] if activities else []

    async def run_worker(self, worker: Worker, next: Callable[[Worker], Awaitable[None]]) -> None:
        """The connections to the API are closed with the last worker."""
        self._workers += 1
        try:
            await super().run_worker(worker, next)
        finally:
            self._workers -= 1
            if self._workers == 0:
                await self._client.close()


def _passing_through(runner: WorkflowRunner | None) -> WorkflowRunner:
    runner = runner or SandboxedWorkflowRunner()
    if not isinstance(runner, SandboxedWorkflowRunner):
        return runner
    return replace(runner, restrictions=runner.restrictions.with_passthrough_modules(*PASSED_THROUGH))
