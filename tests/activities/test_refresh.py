"""The refresh that cannot lose a grant, step by step, on both databases."""

from __future__ import annotations

import asyncio
import base64
from datetime import timedelta
from typing import Any
from unittest.mock import Mock

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.refresh import RefreshActivities
from activities.token_request import deadline_seconds, lease
from everlink.contract import CredentialOutcome, LateSuccess, ReauthReason, Signal, StoreSealedTask, Verdict
from providers.catalog import Catalog
from providers.entry import OAuth2
from store.credentials import Credentials
from store.database import StoreUnavailable, utc_now
from tests.activities.conftest import FIRST, Refreshing

DENIED = {"error": "invalid_grant"}
LEASE = lease(OAuth2(authorize_url="https://a.example/", token_url="https://a.example/"))


async def transient(refreshing: Refreshing, generation: int = 1) -> ApplicationError:
    with pytest.raises(ApplicationError) as caught:
        await refreshing.refresh(generation)
    assert caught.value.type == "Transient"
    return caught.value


async def test_success_is_stored_as_the_next_generation_with_one_request(refreshing: Refreshing) -> None:
    refreshing.endpoint.grants(expires_in=3600)
    outcome = await refreshing.refresh()
    assert (outcome.verdict, outcome.generation, outcome.sealed) == (Verdict.OK, 2, None)
    assert outcome.lifetimes is not None and outcome.lifetimes.expires_in == 3600
    generation, credential = await refreshing.kept()
    assert (generation, credential.access_token, credential.refresh_token) == (2, "access-2", "refresh-2")
    assert credential.extra == FIRST.extra  # what the shorter answer left out is kept
    assert refreshing.endpoint.requests == ["grant_type=refresh_token&refresh_token=refresh-1"]


async def test_outcome_holds_no_token(refreshing: Refreshing) -> None:
    refreshing.endpoint.grants()
    outcome = await refreshing.refresh()
    assert "access-2" not in outcome.model_dump_json() and "refresh-2" not in outcome.model_dump_json()


async def test_omitted_refresh_token_keeps_the_old_one(refreshing: Refreshing) -> None:
    refreshing.endpoint.says(200, {"access_token": "access-2"})
    await refreshing.refresh()
    assert (await refreshing.kept())[1].refresh_token == "refresh-1"


async def test_retry_after_a_lost_acknowledgement_asks_nobody(refreshing: Refreshing) -> None:
    refreshing.endpoint.grants(expires_in=3600)
    await refreshing.refresh()
    outcome = await refreshing.refresh(generation=1)
    assert (outcome.verdict, outcome.generation) == (Verdict.SUPERSEDED, 2)
    assert outcome.lifetimes is not None and 3500 < (outcome.lifetimes.expires_in or 0) <= 3600
    assert len(refreshing.endpoint.requests) == 1


async def test_clear_refusal_is_a_dead_grant(refreshing: Refreshing) -> None:
    refreshing.endpoint.says(400, DENIED)
    outcome = await refreshing.refresh()
    assert (outcome.verdict, outcome.reason) == (Verdict.DEAD, ReauthReason.ACCESS_REVOKED)
    assert (await refreshing.kept())[0] == 1


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, b"oops"),
        (503, b"<html>down</html>"),
        (200, b"<html>login</html>"),
        (200, b'{"access_token": "cut'),
        (200, {"ok": False}),
        (200, {"access_token": ""}),
    ],
    ids=str,
)
async def test_refusal_after_an_unclear_answer_is_an_unknown_outcome(
    refreshing: Refreshing, status: int, body: Any
) -> None:
    refreshing.endpoint.says(status, body)
    await transient(refreshing)
    refreshing.endpoint.says(400, DENIED)
    assert (await refreshing.refresh()).reason is ReauthReason.REFRESH_OUTCOME_UNKNOWN


async def test_lost_answer_loses_nothing_where_the_provider_does_not_rotate(refreshing: Refreshing) -> None:
    [entry] = refreshing.shared.catalog
    oauth2 = entry.oauth2.model_copy(update={"rotates": False})
    refreshing.shared.catalog = Catalog([entry.model_copy(update={"oauth2": oauth2})])
    await transient(refreshing)  # cut after the request
    refreshing.endpoint.says(400, DENIED)
    assert (await refreshing.refresh()).reason is ReauthReason.ACCESS_REVOKED


async def test_connection_cut_after_the_request_leaves_the_outcome_unknown(refreshing: Refreshing) -> None:
    await transient(refreshing)
    assert len(refreshing.endpoint.requests) == 1
    refreshing.endpoint.says(400, DENIED)
    assert (await refreshing.refresh()).reason is ReauthReason.REFRESH_OUTCOME_UNKNOWN


async def test_unclear_answer_then_success_is_a_success(refreshing: Refreshing) -> None:
    refreshing.endpoint.says(502, b"")
    await transient(refreshing)
    refreshing.endpoint.grants()
    assert (await refreshing.refresh()).verdict is Verdict.OK


@pytest.mark.parametrize("status", [400, 404, 429])
async def test_refusal_after_a_clear_no_is_what_it_says(refreshing: Refreshing, status: int) -> None:
    refreshing.endpoint.says(status, {"error": "slow_down"})
    await transient(refreshing)
    refreshing.calm()
    refreshing.endpoint.says(400, DENIED)
    assert (await refreshing.refresh()).reason is ReauthReason.ACCESS_REVOKED


async def test_retry_after_is_a_short_wait_of_temporal_or_a_long_one_of_the_workflow(refreshing: Refreshing) -> None:
    refreshing.endpoint.says(429, {}, retry_after="7")
    short = await transient(refreshing)
    assert short.next_retry_delay == timedelta(seconds=7) and not short.non_retryable
    refreshing.calm()
    refreshing.endpoint.says(429, {}, retry_after="99999999999")
    assert (await transient(refreshing)).non_retryable


async def test_second_refresh_waits_for_the_lease_of_the_first_and_holds_no_slot(refreshing: Refreshing) -> None:
    refreshing.endpoint.gate = asyncio.Event()
    refreshing.endpoint.grants()
    first = asyncio.create_task(refreshing.refresh())
    while not refreshing.endpoint.requests:
        await asyncio.sleep(0.01)
    waiting = await transient(refreshing)
    assert waiting.next_retry_delay is not None and waiting.next_retry_delay <= LEASE
    assert len(refreshing.endpoint.requests) == 1
    refreshing.endpoint.gate.set()
    assert (await first).verdict is Verdict.OK


async def test_cancelled_refresh_still_stores_what_was_granted(refreshing: Refreshing) -> None:
    refreshing.endpoint.gate = asyncio.Event()
    refreshing.endpoint.grants()
    task = asyncio.create_task(refreshing.refresh())
    while not refreshing.endpoint.requests:
        await asyncio.sleep(0.01)
    task.cancel()
    refreshing.endpoint.gate.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    await refreshing.shared.shielded.finish()
    assert (await refreshing.kept())[0] == 2


async def test_reconnect_during_the_request_keeps_its_grant(refreshing: Refreshing) -> None:
    refreshing.endpoint.gate = asyncio.Event()
    refreshing.endpoint.grants()
    task = asyncio.create_task(refreshing.refresh())
    while not refreshing.endpoint.requests:
        await asyncio.sleep(0.01)
    assert await refreshing.reconnect() == 2
    refreshing.endpoint.gate.set()
    outcome = await task
    assert (outcome.verdict, outcome.generation) == (Verdict.SUPERSEDED, 2)
    assert (await refreshing.kept())[1].access_token == "reconnected"


async def test_refusal_of_a_token_that_a_reconnect_replaced_flags_nothing(refreshing: Refreshing) -> None:
    refreshing.endpoint.gate = asyncio.Event()
    refreshing.endpoint.says(400, DENIED)
    task = asyncio.create_task(refreshing.refresh())
    while not refreshing.endpoint.requests:
        await asyncio.sleep(0.01)
    await refreshing.reconnect()
    refreshing.endpoint.gate.set()
    assert (await task).verdict is Verdict.SUPERSEDED


async def test_store_down_after_the_provider_rotated_hands_the_credential_on_sealed(
    refreshing: Refreshing, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def down(*_: object) -> bool:
        raise StoreUnavailable("the database cannot be reached")

    refreshing.endpoint.grants()
    with monkeypatch.context() as patch:
        patch.setattr(Credentials, "swap", down)
        outcome = await refreshing.refresh()
    assert outcome.verdict is Verdict.OK and outcome.sealed is not None and outcome.lifetimes is not None
    assert b"access-2" not in base64.b64decode(outcome.sealed)
    assert (await refreshing.kept())[0] == 1
    later = StoreSealedTask(ref=refreshing.task.ref, replaces=1, sealed=outcome.sealed, lifetimes=outcome.lifetimes)
    store = RefreshActivities(refreshing.shared).store_sealed
    for stored in (True, False):  # idempotent
        assert await ActivityEnvironment().run(store, later) is stored
    assert (await refreshing.kept())[1].refresh_token == "refresh-2"


async def test_store_down_before_the_request_spends_no_token(
    refreshing: Refreshing, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def down(*_: object) -> None:
        raise StoreUnavailable("the database cannot be reached")

    monkeypatch.setattr(Credentials, "begin", down)
    with pytest.raises(StoreUnavailable):
        await refreshing.refresh()
    assert refreshing.endpoint.requests == []


async def test_wrong_client_secret_raises_one_alarm_and_success_clears_it(refreshing: Refreshing) -> None:
    async def alarm() -> str | None:
        client = await refreshing.shared.credentials.read_client(refreshing.scope, "test")
        assert client is not None
        return client.alarm

    refreshing.endpoint.says(401, {"error": "invalid_client"})
    assert (await refreshing.refresh()).verdict is Verdict.APPLICATION_ERROR
    assert await alarm() == "the provider refused the application's own client"
    refreshing.endpoint.grants()
    await refreshing.change_client()
    assert (await refreshing.refresh()).verdict is Verdict.OK
    assert await alarm() is None


async def test_refused_client_is_asked_again_once_it_was_changed(refreshing: Refreshing) -> None:
    refreshing.endpoint.says(401, {"error": "invalid_client"})
    for _ in range(3):
        assert (await refreshing.refresh()).verdict is Verdict.APPLICATION_ERROR
    assert len(refreshing.endpoint.requests) == 1  # the others asked nobody
    refreshing.endpoint.grants()
    await refreshing.change_client()
    assert (await refreshing.refresh()).verdict is Verdict.OK


async def test_late_success_tells_the_workflow_to_look_again(
    refreshing: Refreshing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a stop of the whole process: the lease has run out before the answer is stored."""
    told: list[LateSuccess] = []

    class Handle:
        id = "connection/x"

        async def signal(self, name: Signal, message: LateSuccess) -> None:
            assert name is Signal.LATE_SUCCESS
            told.append(message)

    monkeypatch.setattr(refreshing.shared, "temporal", Mock(get_workflow_handle=lambda _: Handle()))
    refreshing.endpoint.gate = asyncio.Event()
    refreshing.endpoint.grants()
    task = asyncio.create_task(refreshing.refresh())
    while not refreshing.endpoint.requests:
        await asyncio.sleep(0.01)
    monkeypatch.setattr(refreshing.shared, "clock", lambda: utc_now() + LEASE + timedelta(seconds=1))
    refreshing.endpoint.gate.set()
    assert (await task).verdict is Verdict.OK
    assert [message.generation for message in told] == [2]


async def test_grace_of_the_server_leaves_time_for_a_retry(refreshing: Refreshing) -> None:
    for grace in (3.0, 30.0, 60.0, 120.0, 3600.0):
        oauth2 = OAuth2(authorize_url="https://a.example/", token_url="https://a.example/", reuse_grace_seconds=grace)
        wait = lease(oauth2).total_seconds()
        assert deadline_seconds(oauth2) < wait < grace and wait + deadline_seconds(oauth2) < grace
    assert deadline_seconds(oauth2) == 20.0 and LEASE.total_seconds() == 40.0


async def test_end_of_the_grant_is_kept_until_the_provider_moves_it(refreshing: Refreshing) -> None:
    refreshing.endpoint.grants(2, expires_in=60, refresh_token_expires_in=1000)
    first = await refreshing.refresh()
    refreshing.endpoint.grants(3, expires_in=60)
    second = await refreshing.refresh(generation=2)
    refreshing.endpoint.grants(4, expires_in=60, refresh_token_expires_in=2000)
    third = await refreshing.refresh(generation=3)
    ends = [outcome.lifetimes.ends_in for outcome in (first, second, third) if outcome.lifetimes]
    assert ends[0] == 1000 and ends[1] is not None and 900 < ends[1] < 1000 and ends[2] == 2000


async def test_purged_credential_is_left_alone(refreshing: Refreshing) -> None:
    await refreshing.shared.credentials.purge(refreshing.scope, refreshing.task.ref.connection_id)
    outcome: CredentialOutcome = await refreshing.refresh()
    assert outcome.verdict is Verdict.SUPERSEDED and refreshing.endpoint.requests == []


async def test_intent_left_by_a_killed_worker_is_in_doubt_when_its_lease_ends(refreshing: Refreshing) -> None:
    long_ago = utc_now() - LEASE - timedelta(seconds=1)
    await refreshing.shared.credentials.begin(refreshing.task.ref.connection_id, 1, long_ago, LEASE)
    refreshing.endpoint.says(400, DENIED)
    assert (await refreshing.refresh()).reason is ReauthReason.REFRESH_OUTCOME_UNKNOWN


async def test_worker_that_stood_still_after_its_intent_does_not_send_the_token_anymore(
    refreshing: Refreshing, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = refreshing.shared.credentials.begin

    async def begin_and_stand_still(*arguments: Any) -> Any:
        intent = await begin(*arguments)
        refreshing.shared.clock = lambda: utc_now() + LEASE
        return intent

    monkeypatch.setattr(refreshing.shared.credentials, "begin", begin_and_stand_still)
    await transient(refreshing)
    assert refreshing.endpoint.requests == []
    monkeypatch.undo()
    refreshing.endpoint.says(400, DENIED)
    assert (await refreshing.refresh()).reason is ReauthReason.ACCESS_REVOKED  # nothing is in doubt
