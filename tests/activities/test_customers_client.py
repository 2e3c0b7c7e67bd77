"""Client credentials and fields: what a refresh asks with, where no client of the organization is needed."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError

from everlink.contract import ReauthReason, Verdict
from store.database import utc_now
from store.tenants import Tenants
from tests.activities.conftest import Refreshing
from tests.activities.test_others import change_entry
from tests.activities.test_two_secrets import alarm, answers, secrets

GIVEN = {"client_id": "theirs", "client_secret": "their secret", "site": "acme"}
FIELDS = [{"name": name, "label": name, "type": "text"} for name in GIVEN]


def machine(refreshing: Refreshing, **oauth2: Any) -> None:
    endpoint = {"token_url": refreshing.endpoint.url, "grant": "client_credentials", "authorize_url": None}
    change_entry(refreshing, auth_type="keybased", fields=FIELDS, oauth2={**endpoint, **oauth2})


async def hold(refreshing: Refreshing, **changes: Any) -> None:
    """The vault has a credential like the present one, with these changes."""
    generation, credential = await refreshing.kept()
    sealed = await refreshing.shared.seal(refreshing.task.ref, credential.model_copy(update=changes))
    connection = refreshing.task.ref.connection_id
    stored = await refreshing.shared.credentials.read(refreshing.scope, connection)
    assert stored is not None
    await refreshing.shared.credentials.swap(
        connection, generation, replace(stored, generation=generation + 1, sealed=sealed), utc_now()
    )


async def test_customers_client_asks_again_without_a_client_of_the_organization(refreshing: Refreshing) -> None:
    machine(refreshing)
    await hold(refreshing, refresh_token=None, given=GIVEN)
    tenants = Tenants(refreshing.shared.database)
    await tenants.enable_application(refreshing.scope, "test", {"client_id": None}, utc_now())
    refreshing.endpoint.says(200, {"access_token": "access-3", "expires_in": 3600})
    outcome = await refreshing.refresh(generation=2)
    assert (outcome.verdict, outcome.generation) == (Verdict.OK, 3)
    assert outcome.lifetimes is not None and outcome.lifetimes.renewable
    generation, credential = await refreshing.kept()
    assert (generation, credential.access_token, credential.given) == (3, "access-3", GIVEN)
    assert refreshing.endpoint.requests == ["grant_type=client_credentials"]
    [head] = refreshing.endpoint.heads
    assert any(base64.b64encode(b"theirs:their%20secret").decode() in line for line in head)


async def test_customers_client_that_is_refused_is_their_trouble_and_nobodys_alarm(refreshing: Refreshing) -> None:
    machine(refreshing)
    await hold(refreshing, refresh_token=None, given=GIVEN)
    answers(refreshing.endpoint, (503, {}), (401, {"error": "invalid_client"}))
    with pytest.raises(ApplicationError):
        await refreshing.refresh(generation=2)
    outcome = await refreshing.refresh(generation=2)
    # Also after an answer that was lost: there was nothing that it could have taken along.
    assert (outcome.verdict, outcome.reason) == (Verdict.DEAD, ReauthReason.CREDENTIALS_INVALID)
    assert await alarm(refreshing) is None and secrets(refreshing.endpoint) == ["their%20secret"] * 2


async def test_fields_lead_a_refresh_and_what_lacks_one_sends_nothing(refreshing: Refreshing) -> None:
    entry = refreshing.shared.catalog.get("test")
    assert entry is not None and entry.oauth2 is not None
    # The path's place; a host of one's own would need a name that resolves.
    oauth2 = {**entry.oauth2.model_dump(), "refresh_url": refreshing.endpoint.url + "/{site}"}
    change_entry(refreshing, fields=[{"name": "site", "label": "Site", "type": "text"}], oauth2=oauth2)
    with pytest.raises(ApplicationError, match="nothing was sent"):
        await refreshing.refresh()
    assert refreshing.endpoint.requests == [] and (await refreshing.kept())[0] == 1
    oauth2 = {**entry.oauth2.model_dump(), "token_params": {"site": "{site}"}}
    change_entry(refreshing, oauth2=oauth2)
    with pytest.raises(ApplicationError, match="`site` is not known; nothing was sent"):
        await refreshing.refresh()
    await hold(refreshing, given={"site": "acme"})
    refreshing.endpoint.grants(3)
    outcome = await refreshing.refresh(generation=2)
    assert outcome.verdict is Verdict.OK and (await refreshing.kept())[1].given == {"site": "acme"}
    assert refreshing.endpoint.requests == ["grant_type=refresh_token&refresh_token=refresh-1&site=acme"]
