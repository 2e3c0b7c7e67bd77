"""A provider that is away and comes back to a backlog: left alone meanwhile, and not overrun then."""

from __future__ import annotations

import asyncio
from time import monotonic

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities import limits
from activities.refresh import RefreshActivities
from everlink.contract import AuthType, CredentialOutcome, CredentialTask, Verdict
from providers.entry import Limits
from store.connections import connection_ref
from store.database import utc_now
from tests.activities.conftest import FIRST, Refreshing

CONNECTIONS = 60


async def many(refreshing: Refreshing) -> list[CredentialTask]:
    shared, scope, tasks = refreshing.shared, refreshing.scope, []
    for number in range(CONNECTIONS):
        row = await shared.connections.find_or_create(
            scope,
            linked_account_id="acme",
            slug="test",
            identifier=f"customer {number}",
            display_name=None,
            auth_type=AuthType.OAUTH2,
            now=utc_now(),
        )
        ref = connection_ref(row)
        sealed = await shared.seal(ref, FIRST)
        await shared.credentials.grant(scope, row.id, sealed, renewable=True, expires_at=None, now=utc_now())
        tasks.append(CredentialTask(ref=ref, generation=1))
    return tasks


async def test_outage_costs_few_requests_and_the_backlog_stays_within_the_limit(
    refreshing: Refreshing, monkeypatch: pytest.MonkeyPatch
) -> None:
    activity, endpoint = RefreshActivities(refreshing.shared).refresh, refreshing.endpoint
    tasks = await many(refreshing)

    async def once(task: CredentialTask) -> CredentialOutcome | ApplicationError:
        try:
            outcome: CredentialOutcome = await ActivityEnvironment().run(activity, task)
            return outcome
        except ApplicationError as error:
            return error

    endpoint.says(503, {})
    for _ in range(3):
        outcomes = await asyncio.gather(*(once(task) for task in tasks))
        assert {outcome.type for outcome in outcomes if isinstance(outcome, ApplicationError)} == {"Transient"}
        assert not any(isinstance(outcome, CredentialOutcome) for outcome in outcomes)
    assert len(endpoint.requests) <= limits.FAILURES_TO_OPEN + Limits().concurrency  # of three times sixty

    endpoint.requests.clear()
    endpoint.grants(expires_in=3600)
    endpoint.seconds = 0.02
    monkeypatch.setattr(limits, "monotonic", lambda: monotonic() + limits.FIRST_OPEN_SECONDS)

    async def until_it_works(task: CredentialTask) -> Verdict:
        while True:
            outcome = await once(task)
            if isinstance(outcome, CredentialOutcome):
                return outcome.verdict
            await asyncio.sleep(0.1)  # for Temporal's wait

    async with asyncio.timeout(60):
        verdicts = await asyncio.gather(*(until_it_works(task) for task in tasks))
    assert set(verdicts) == {Verdict.OK}
    assert len(endpoint.requests) == CONNECTIONS
    assert 1 < endpoint.most_at_once <= Limits().concurrency
