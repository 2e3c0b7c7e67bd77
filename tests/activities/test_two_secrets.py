"""A client secret that was replaced: the one before is tried only where the provider refuses the new one, in time."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime, timedelta

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.farewell import FarewellActivities
from activities.token_request import LEAST_SECONDS, deadline_seconds
from everlink.contract import CredentialOutcome, ReauthReason, Verdict
from store.credentials import Credentials
from store.database import StoreUnavailable, utc_now
from store.tenants import CLIENT_SECRET, Tenants
from store.vault import Kind
from tests.activities.conftest import Endpoint, Refreshing
from tests.activities.test_others import change_entry

GRANTED = {"access_token": "access-2", "refresh_token": "refresh-2", "expires_in": 3600}
REFUSED = (401, {"error": "invalid_client"})


async def replace_secret(refreshing: Refreshing, lives: timedelta = timedelta(days=1)) -> None:
    """`client-secret` becomes the former one of `new`."""
    tenants, now = Tenants(refreshing.shared.database), utc_now()
    application = await tenants.enable_application(refreshing.scope, "test", {}, now)
    sealed = await refreshing.shared.vault.seal(refreshing.scope, Kind.CLIENT_SECRET, application, b"new")
    await tenants.replace_secret(refreshing.scope, "test", CLIENT_SECRET, sealed, now + lives, now)


def secrets(endpoint: Endpoint) -> list[str]:
    """Which secrets the provider was shown, in order."""
    lines = [line for head in endpoint.heads for line in head if line.lower().startswith("authorization: basic ")]
    return [base64.b64decode(line.split()[-1]).decode().partition(":")[2] for line in lines]


def answers(endpoint: Endpoint, *given: tuple[int, object] | None) -> None:
    """One after the other, the last for ever; None cuts the connection."""
    following = iter(given)
    latest: tuple[int, object] | None = None

    def answer() -> bytes | None:
        nonlocal latest
        latest = next(following, latest)
        if latest is None:
            return None
        text = json.dumps(latest[1]).encode()
        head = f"HTTP/1.1 {latest[0]} X\r\ncontent-length: {len(text)}\r\nconnection: close\r\n\r\n"
        return head.encode() + text

    endpoint.answer = answer


async def alarm(refreshing: Refreshing) -> str | None:
    application = await Tenants(refreshing.shared.database).application(refreshing.scope, "test")
    assert application is not None
    return application.alarm


async def test_former_secret_refreshes_while_the_new_one_is_refused_and_nobody_is_alarmed(
    refreshing: Refreshing,
) -> None:
    await replace_secret(refreshing)
    answers(refreshing.endpoint, REFUSED, (200, GRANTED))
    outcome = await refreshing.refresh()
    assert (outcome.verdict, outcome.generation) == (Verdict.OK, 2)
    assert secrets(refreshing.endpoint) == ["new", "client-secret"]
    assert (await refreshing.kept())[1].access_token == "access-2"
    assert await alarm(refreshing) is None
    # Nor is the application left alone for a while: the next refresh asks at once.
    answers(refreshing.endpoint, (200, {**GRANTED, "access_token": "access-3"}))
    assert (await refreshing.refresh(generation=2)).generation == 3
    assert secrets(refreshing.endpoint) == ["new", "client-secret", "new"]


async def test_new_secret_that_is_accepted_is_the_only_one_shown(refreshing: Refreshing) -> None:
    await replace_secret(refreshing)
    refreshing.endpoint.grants()
    await refreshing.refresh()
    assert secrets(refreshing.endpoint) == ["new"]


@pytest.mark.parametrize(
    "given", [None, (500, {}), (429, {}), (400, {"error": "invalid_grant"}), (400, {"error": "unknown"})], ids=str
)
async def test_former_secret_is_not_tried_after_anything_but_a_refusal_of_the_client(
    refreshing: Refreshing, given: tuple[int, object] | None
) -> None:
    await replace_secret(refreshing)
    answers(refreshing.endpoint, given)
    with suppress(ApplicationError):
        await refreshing.refresh()
    assert secrets(refreshing.endpoint) == ["new"]


@pytest.mark.parametrize("lives", [timedelta(seconds=-1), None], ids=["its time is over", "there is none"])
async def test_refused_secret_without_a_living_former_one_raises_the_alarm(
    refreshing: Refreshing, lives: timedelta | None
) -> None:
    if lives is not None:
        await replace_secret(refreshing, lives)
    answers(refreshing.endpoint, REFUSED)
    assert (await refreshing.refresh()).verdict is Verdict.APPLICATION_ERROR
    assert len(refreshing.endpoint.requests) == 1
    assert await alarm(refreshing) is not None


async def test_both_secrets_refused_is_one_alarm(refreshing: Refreshing) -> None:
    await replace_secret(refreshing)
    answers(refreshing.endpoint, REFUSED)
    assert (await refreshing.refresh()).verdict is Verdict.APPLICATION_ERROR
    assert secrets(refreshing.endpoint) == ["new", "client-secret"]
    assert await alarm(refreshing) is not None
    # While the client is left alone, nobody is asked, with neither secret.
    assert (await refreshing.refresh()).verdict is Verdict.APPLICATION_ERROR
    assert len(refreshing.endpoint.requests) == 2


async def test_grant_that_the_former_secret_finds_dead_is_dead(refreshing: Refreshing) -> None:
    await replace_secret(refreshing)
    answers(refreshing.endpoint, REFUSED, (400, {"error": "invalid_grant"}))
    outcome = await refreshing.refresh()
    assert (outcome.verdict, outcome.reason) == (Verdict.DEAD, ReauthReason.ACCESS_REVOKED)
    assert await alarm(refreshing) is None


async def test_answer_to_the_former_secret_that_is_lost_leaves_the_outcome_unknown(refreshing: Refreshing) -> None:
    await replace_secret(refreshing)
    answers(refreshing.endpoint, REFUSED, None)
    with pytest.raises(ApplicationError) as caught:
        await refreshing.refresh()
    assert caught.value.type == "Transient"
    answers(refreshing.endpoint, (400, {"error": "invalid_grant"}))
    assert (await refreshing.refresh()).reason is ReauthReason.REFRESH_OUTCOME_UNKNOWN


async def test_no_second_request_once_the_deadline_of_the_first_has_passed(refreshing: Refreshing) -> None:
    """A worker that stood still, or a slow refusal: another may ask by now, and two at once could end the grant."""
    entry = refreshing.shared.catalog.get("test")
    assert entry is not None and entry.oauth2 is not None
    await replace_secret(refreshing)
    begun = utc_now()
    late = begun + timedelta(seconds=deadline_seconds(entry.oauth2) - LEAST_SECONDS + 0.1)

    def clock(moments: Iterable[datetime] = iter([begun, begun])) -> datetime:
        return next(iter(moments), late)

    refreshing.shared.clock = clock
    answers(refreshing.endpoint, REFUSED, (200, GRANTED))
    with pytest.raises(ApplicationError) as caught:
        await refreshing.refresh()
    assert caught.value.type == "Transient"
    assert secrets(refreshing.endpoint) == ["new"] and await alarm(refreshing) is None
    # Nothing is in doubt: the provider had refused, and nothing more was sent.
    refreshing.shared.clock = utc_now
    answers(refreshing.endpoint, (400, {"error": "invalid_grant"}))
    assert (await refreshing.refresh()).reason is ReauthReason.ACCESS_REVOKED


async def test_store_that_is_away_after_the_refusal_sends_no_second_request(
    refreshing: Refreshing, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object) -> bytes | None:
        raise StoreUnavailable("the database cannot be reached")

    await replace_secret(refreshing)
    monkeypatch.setattr(Credentials, "former_secret", away)
    answers(refreshing.endpoint, REFUSED)
    assert (await refreshing.refresh()).verdict is Verdict.APPLICATION_ERROR
    assert secrets(refreshing.endpoint) == ["new"]


async def test_former_secret_revokes_what_the_new_one_may_not(refreshing: Refreshing) -> None:
    await replace_secret(refreshing)
    entry = refreshing.shared.catalog.get("test")
    assert entry is not None and entry.oauth2 is not None
    change_entry(refreshing, oauth2={**entry.oauth2.model_dump(), "revoke_url": refreshing.endpoint.url})
    answers(refreshing.endpoint, REFUSED, (200, {}))
    outcome: CredentialOutcome = await ActivityEnvironment().run(
        FarewellActivities(refreshing.shared).revoke_upstream, refreshing.task
    )
    assert outcome.verdict is Verdict.OK
    assert secrets(refreshing.endpoint) == ["new", "client-secret"]
