"""Probing and revoking: the real activities on a real store."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import update
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.farewell import FarewellActivities
from activities.probe import ProbeActivities
from activities.shared import DELETED
from everlink.contract import TRANSIENT, AuthType, CredentialOutcome, ReauthReason, Verdict
from providers.entry import CatalogEntry, Probe
from providers.rules import DeadRule
from store.connection_keys import Account
from store.connections import connection_ref
from store.credentials import StoredCredential
from store.database import utc_now
from store.tables import CONNECTIONS
from store.tenants import Tenants
from tests.activities.conftest import FIRST, Refreshing


def change_entry(refreshing: Refreshing, **changes: object) -> None:
    catalog = refreshing.shared.catalog
    entry = catalog.get("test")
    assert entry is not None
    catalog._entries["test"] = CatalogEntry.model_validate({**entry.model_dump(), **changes})


async def probe(refreshing: Refreshing) -> CredentialOutcome:
    outcome: CredentialOutcome = await ActivityEnvironment().run(
        ProbeActivities(refreshing.shared).probe, refreshing.task
    )
    return outcome


async def test_probe_without_a_request_to_send_is_unsupported(refreshing: Refreshing) -> None:
    assert (await probe(refreshing)).verdict is Verdict.UNSUPPORTED


async def test_probe_believes_what_the_entry_says(refreshing: Refreshing) -> None:
    rules = (DeadRule(status=403),)
    header = {"authorization": "Bearer {access_token}"}
    one = Probe(method="POST", url=refreshing.endpoint.url, headers=header, dead=rules, every_seconds=60)
    change_entry(refreshing, probe=one.model_dump())
    refreshing.endpoint.says(200, {})
    fine = await probe(refreshing)
    assert fine.verdict is Verdict.OK and fine.lifetimes is not None and fine.lifetimes.probe_every == 60
    refreshing.endpoint.says(403, {})
    assert (await probe(refreshing)).verdict is Verdict.DEAD
    refreshing.endpoint.says(401, {})  # this entry does not call a 401 dead
    with pytest.raises(ApplicationError):
        await probe(refreshing)


@pytest.mark.parametrize("lack", ["{team.id}", "{region}"])
async def test_probe_that_a_changed_entry_cannot_fill_says_nothing_of_the_grant(
    refreshing: Refreshing, lack: str
) -> None:
    """The tokens may be as good as ever: nobody was asked."""
    change_entry(refreshing, probe=Probe(url=f"{refreshing.endpoint.url}/{lack}").model_dump())
    with pytest.raises(ApplicationError) as caught:
        await probe(refreshing)
    assert caught.value.type == TRANSIENT
    assert "nothing was sent" in str(caught.value)
    assert refreshing.endpoint.requests == []


async def test_key_that_outlives_its_end_has_no_known_end(refreshing: Refreshing) -> None:
    change_entry(refreshing, probe=Probe(url=refreshing.endpoint.url).model_dump())
    refreshing.endpoint.says(200, {})
    for renewable, expected in ((True, 1.0), (False, None)):
        ended = StoredCredential(2, b"", renewable, utc_now() - timedelta(minutes=1))
        stored = await refreshing.shared.credentials.read(refreshing.scope, refreshing.task.ref.connection_id)
        assert stored is not None
        ended = replace(ended, sealed=stored.sealed, generation=stored.generation + 1)
        connection = refreshing.task.ref.connection_id
        assert await refreshing.shared.credentials.swap(connection, stored.generation, ended, utc_now())
        refreshing.task = refreshing.task.model_copy(update={"generation": ended.generation})
        outcome = await probe(refreshing)
        assert outcome.lifetimes is not None and outcome.lifetimes.expires_in == expected


async def revoke(refreshing: Refreshing) -> CredentialOutcome:
    outcome: CredentialOutcome = await ActivityEnvironment().run(
        FarewellActivities(refreshing.shared).revoke_upstream, refreshing.task
    )
    return outcome


async def test_revocation_gives_a_receipt_or_is_tried_again(refreshing: Refreshing) -> None:
    assert (await revoke(refreshing)).verdict is Verdict.UNSUPPORTED
    entry = refreshing.shared.catalog.get("test")
    assert entry is not None and entry.oauth2 is not None
    change_entry(refreshing, oauth2={**entry.oauth2.model_dump(), "revoke_url": refreshing.endpoint.url})
    refreshing.endpoint.says(200, b"")
    assert (await revoke(refreshing)).note == "revoked at the provider"
    assert refreshing.endpoint.requests[-1].startswith("token=refresh-1&")
    refreshing.endpoint.says(503, b"")
    with pytest.raises(ApplicationError):
        await revoke(refreshing)
    refreshing.endpoint.says(400, {"error": "unsupported_token_type"})
    assert (await revoke(refreshing)).verdict is Verdict.DEAD


async def test_introspection_stands_in_for_a_probe(refreshing: Refreshing) -> None:
    entry = refreshing.shared.catalog.get("test")
    assert entry is not None and entry.oauth2 is not None
    change_entry(refreshing, oauth2={**entry.oauth2.model_dump(), "introspect_url": refreshing.endpoint.url})
    refreshing.endpoint.says(200, {"active": True, "sub": "ada"})
    assert (await probe(refreshing)).verdict is Verdict.OK
    assert refreshing.endpoint.requests == ["token=access-1&token_type_hint=access_token"]
    refreshing.endpoint.says(200, {"active": False})
    outcome = await probe(refreshing)
    assert (outcome.verdict, outcome.reason) == (Verdict.DEAD, ReauthReason.ACCESS_REVOKED)
    refreshing.endpoint.says(401, {"error": "invalid_client"})
    assert (await probe(refreshing)).verdict is Verdict.APPLICATION_ERROR
    for status, body in ((200, {}), (200, {"active": "false"}), (503, {"active": False}), (404, {"active": False})):
        refreshing.endpoint.says(status, body)
        with pytest.raises(ApplicationError):
            await probe(refreshing)


async def test_provider_that_knows_no_client_of_ours_any_more_raises_the_alarm(refreshing: Refreshing) -> None:
    gone = DeadRule(code="deleted_client", reason=ReauthReason.APPLICATION_DELETED)
    change_entry(refreshing, probe=Probe(url=refreshing.endpoint.url, dead=(gone,)).model_dump())
    refreshing.endpoint.says(401, {"error": "deleted_client"})
    assert (await probe(refreshing)).reason is ReauthReason.APPLICATION_DELETED
    application = await Tenants(refreshing.shared.database).application(refreshing.scope, "test")
    assert application is not None and application.alarm == DELETED


async def test_grant_is_not_revoked_where_that_would_end_another_connections(refreshing: Refreshing) -> None:
    entry = refreshing.shared.catalog.get("test")
    assert entry is not None and entry.oauth2 is not None
    way = {"revoke_url": refreshing.endpoint.url, "revokes_account": True}
    change_entry(refreshing, oauth2={**entry.oauth2.model_dump(), **way})
    refreshing.endpoint.says(200, b"")
    account = Account("ada", keys={"account": ["ada"]})
    other = await other_connection(refreshing, account)
    assert (await revoke(refreshing)).note == "not revoked: another connection lives on the same account"
    assert refreshing.endpoint.requests == []
    async with refreshing.shared.database.writing() as writing:
        await writing.execute(update(CONNECTIONS).where(CONNECTIONS.c.id == other).values(status="disconnected"))
    assert (await revoke(refreshing)).note == "revoked at the provider"


async def other_connection(refreshing: Refreshing, account: Account) -> str:
    """Another linked account's, which opens the same account at the provider."""
    shared, scope, now = refreshing.shared, refreshing.scope, utc_now()
    await Tenants(shared.database).save_linked_account(scope, "other", {}, now)
    row = await shared.connections.find_or_create(
        scope,
        linked_account_id="other",
        slug="test",
        identifier=account.identifier,
        display_name=None,
        auth_type=AuthType.OAUTH2,
        now=now,
    )
    sealed = await shared.seal(connection_ref(row), FIRST)
    await shared.credentials.grant(scope, row.id, sealed, renewable=True, expires_at=None, now=now, account=account)
    return row.id
