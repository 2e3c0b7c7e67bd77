"""What became of a struck connection, and whether that is allowed."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta

from temporalio.client import WorkflowQueryFailedError, WorkflowQueryRejectedError
from temporalio.service import RPCError

from api.errors import ApiError
from api.lifecycle import force_refresh
from everlink.contract import ConnectionStatus, ConnectionView, Query, ReauthReason, connection_workflow_id
from providers.credential import OAuthCredential
from store.credentials import StoredCredential
from store.vault import Kind
from tests.chaos.steps import Server, Step
from tests.chaos.world import World

QUERY_WITHIN = timedelta(seconds=15)
TRIES = 4  # of a forced refresh, which answers after its first try


@dataclass
class Struck:
    """A connection that was struck at a step."""

    connection_id: str
    step: Step
    view: ConnectionView | None = None  # as the workflow tells it at rest
    before: StoredCredential | None = None  # the credential before a stopped worker went on
    problems: list[str] = field(default_factory=list)

    @property
    def is_active(self) -> bool:
        return self.view is not None and self.view.status is ConnectionStatus.ACTIVE

    @property
    def is_unknown(self) -> bool:
        return self.view is not None and self.view.reason is ReauthReason.REFRESH_OUTCOME_UNKNOWN


async def rests(world: World, struck: Struck) -> bool:
    """Whether the connection has come to rest, and the store knows it."""
    handle = world.made.temporal.get_workflow_handle(connection_workflow_id(struck.connection_id))
    try:
        view = await handle.query(Query.STATUS, result_type=ConnectionView, rpc_timeout=QUERY_WITHIN)
    except (RPCError, WorkflowQueryFailedError, WorkflowQueryRejectedError):
        return False
    struck.view = view
    row = await world.made.connections.get(world.scope, struck.connection_id)
    if row is None or row.sequence != view.sequence:
        return False
    refreshed = view.status is ConnectionStatus.ACTIVE and view.refreshes > 0 and view.last_failure is None
    return refreshed or view.status is ConnectionStatus.REAUTH_REQUIRED


async def remember(world: World, struck: list[Struck]) -> None:
    """Keep what is stored now, to compare with once a stopped worker has gone on."""
    for one in struck:
        one.before = await world.made.credentials.read(world.scope, one.connection_id)


async def judge(world: World, server: Server, struck: Struck) -> None:
    """Note all that is not as it must be."""
    if not await rests(world, struck):
        struck.problems.append("it did not come to rest")
        return
    assert struck.view is not None
    row = await world.made.connections.get(world.scope, struck.connection_id)
    assert row is not None
    if (row.status, row.reason) != (struck.view.status, struck.view.reason):
        struck.problems.append(f"the store says {row.status}, {row.reason}")
    if struck.view.status is ConnectionStatus.ACTIVE:
        await _judge_active(world, struck)
    elif struck.view.reason is not ReauthReason.REFRESH_OUTCOME_UNKNOWN:
        struck.problems.append("the reason is another")
    elif server is Server.GRACE or not struck.step.may_lose_the_answer:
        struck.problems.append("no answer can have been lost for good")


async def _judge_active(world: World, struck: Struck) -> None:
    """The stored tokens must be good: the access token, and the refresh token by refreshing once more."""
    stored = await world.made.credentials.read(world.scope, struck.connection_id)
    if struck.before is not None and stored != struck.before:
        struck.problems.append("the worker that had been stopped changed the credential")
    if not await _is_accepted(world, struck):
        struck.problems.append("the sandbox refuses the stored access token")
    if not await _refreshes(world, struck):
        struck.problems.append("it cannot be refreshed again")
    elif not await _is_accepted(world, struck):
        struck.problems.append("the sandbox refuses the access token of another refresh")


async def _is_accepted(world: World, struck: Struck) -> bool:
    stored = await world.made.credentials.read(world.scope, struck.connection_id)
    if stored is None:
        return False
    secret = await world.made.vault.open(world.scope, Kind.CREDENTIAL, struck.connection_id, stored.sealed)
    token = OAuthCredential.model_validate_json(secret).access_token
    answer = await world.made.http.get(f"{world.sandbox}/api/me", headers={"authorization": f"Bearer {token}"})
    return answer.status_code == 200


async def _refreshes(world: World, struck: Struck) -> bool:
    assert struck.view is not None
    for _ in range(TRIES):
        try:
            view = await force_refresh(world.made, world.scope, struck.connection_id)
        except ApiError:
            await asyncio.sleep(1)
            continue
        if view.status is ConnectionStatus.ACTIVE and view.generation > struck.view.generation:
            return True
        struck.problems.append(f"another refresh: {view.status}, {view.reason}, {view.last_failure}")
        if view.status is not ConnectionStatus.ACTIVE:
            return False
    return False
