"""What a removal marks, counts and forgets, on both databases; and that nothing slips in beside it."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import update
from sqlalchemy.exc import IntegrityError

from everlink.contract import (
    ConnectionStatus,
    Environment,
    EventType,
    Health,
    ReauthReason,
    RemovalKind,
    RemovalTask,
    Transition,
)
from store import erasing
from store.answers import Answers, Claim, Place, browsers_of
from store.api_keys import ApiKeys
from store.connections import Connections, connection_ref
from store.console_sessions import ConsoleSessions
from store.credentials import Credentials
from store.database import Database
from store.erasing import Erasing
from store.removals import Removals, removal_task
from store.scope import Scope
from store.tables import APPLICATIONS, CONNECTIONS, Connection
from store.tenants import RemovalUnderWay, Tenants
from store.vault import Kind, MasterKeys, Vault, new_master_key
from tests.store.conftest import NOW, make_connection

APPLICATION, ACCOUNT, ORGANIZATION = RemovalKind
SUBJECTS = {APPLICATION: "sandbox", ACCOUNT: "acme"}


@pytest.fixture
def removals(database: Database) -> Removals:
    return Removals(database)


async def begin(removals: Removals, scope: Scope, kind: RemovalKind) -> RemovalTask:
    removal = await removals.begin(scope, kind, SUBJECTS.get(kind, scope.org_id), NOW)
    assert removal is not None
    return removal_task(removal)


async def grant(database: Database, scope: Scope, connection: Connection) -> int:
    return await Credentials(database).grant(scope, connection.id, b"x", renewable=True, expires_at=None, now=NOW)


async def move(database: Database, connection: Connection, status: ConnectionStatus, sequence: int = 1) -> list[str]:
    flagged = status is ConnectionStatus.REAUTH_REQUIRED
    transition = Transition(
        sequence=sequence,
        at=NOW,
        previous_status=ConnectionStatus.ACTIVE,
        status=status,
        health=Health.OK,
        reason=ReauthReason.APPLICATION_DELETED if flagged else None,
        event=EventType.EXPIRED if flagged else EventType.DELETED,
    )
    announced = await Connections(database).record(connection_ref(connection), transition, NOW)
    return [] if announced is None else announced.endpoints


@pytest.mark.parametrize("kind", RemovalKind)
async def test_removal_is_begun_once_however_many_ask(removals: Removals, scope: Scope, kind: RemovalKind) -> None:
    begun = await asyncio.gather(*(begin(removals, scope, kind) for _ in range(6)))
    assert len({task.id for task in begun}) == 1
    assert [removal.id for removal in await removals.unfinished("", 10)] == [begun[0].id]


@pytest.mark.parametrize("kind", [APPLICATION, ACCOUNT])
async def test_removal_of_what_is_not_there_is_none(removals: Removals, scope: Scope, kind: RemovalKind) -> None:
    assert await removals.begin(scope, kind, "unknown", NOW) is None
    production = Scope(scope.org_id, Environment.PRODUCTION)
    assert await removals.begin(production, kind, SUBJECTS[kind], NOW) is None


@pytest.mark.parametrize("kind", RemovalKind)
async def test_nothing_is_granted_or_made_from_the_beginning_on(
    removals: Removals, database: Database, scope: Scope, connection: Connection, kind: RemovalKind
) -> None:
    await begin(removals, scope, kind)
    with pytest.raises(RemovalUnderWay):
        await grant(database, scope, connection)
    with pytest.raises(RemovalUnderWay):
        await make_connection(database, scope, "new")
    assert (await make_connection(database, scope)).id == connection.id  # it is there, and will hear of it
    read = await Credentials(database).read(scope, connection.id)
    assert read is not None and read.generation == 1


async def test_grant_waits_for_a_removal_that_is_being_written_and_is_refused(
    database: Database, scope: Scope, connection: Connection
) -> None:
    async with database.writing() as removing:
        await removing.execute(update(APPLICATIONS).where(scope.owns(APPLICATIONS)).values(removed_at=NOW))
        late = asyncio.create_task(grant(database, scope, connection))
        done, _ = await asyncio.wait([late], timeout=0.3)
        assert not done
    with pytest.raises(RemovalUnderWay):
        await late


async def test_accounts_and_applications_that_are_made_beside_an_erasure_come_before_it_or_not_at_all(
    removals: Removals, database: Database, scope: Scope
) -> None:
    tenants = Tenants(database)

    async def make(number: int) -> None:
        await tenants.save_linked_account(scope, f"account {number}", {}, NOW)
        await tenants.enable_application(scope, f"application {number}", {}, NOW)

    async def erase() -> None:
        await begin(removals, scope, ORGANIZATION)

    done = await asyncio.gather(*(make(number) for number in range(8)), erase(), return_exceptions=True)
    assert all(answer is None or isinstance(answer, RemovalUnderWay) for answer in done)
    assert await tenants.applications(scope) == []
    for number in range(8):
        assert await tenants.linked_account(scope, f"account {number}") is None


async def test_application_waits_for_each_to_know_and_for_grants_that_nobody_has_heard_of(
    removals: Removals, database: Database, scope: Scope, connection: Connection
) -> None:
    await move(database, await make_connection(database, scope, "ended"), ConnectionStatus.DISCONNECTED)
    task = await begin(removals, scope, APPLICATION)  # the fixture's grant is not confirmed
    assert await removals.progress(task) == (0, 1)
    await move(database, connection, ConnectionStatus.REAUTH_REQUIRED)
    assert [row.id for row in await removals.page(task, "", 10)] == [connection.id]
    await Credentials(database).confirm(scope, connection.id, 1)
    assert await removals.progress(task) == (1, 1)
    assert await removals.page(task, "", 10) == []


async def test_account_waits_for_credentials_to_be_purged_after_the_end(
    removals: Removals, database: Database, scope: Scope, connection: Connection
) -> None:
    task = await begin(removals, scope, ACCOUNT)
    await move(database, connection, ConnectionStatus.DISCONNECTED)
    assert await removals.progress(task) == (1, 1)
    assert await removals.on_their_way(task) == 1
    await Credentials(database).purge(scope, connection.id)
    assert await removals.on_their_way(task) == 0


async def test_application_waits_for_what_has_ended_to_be_revoked_with_its_client(
    removals: Removals, database: Database, scope: Scope, connection: Connection
) -> None:
    task = await begin(removals, scope, APPLICATION)
    assert await removals.on_their_way(task) == 0  # a living connection keeps its credential
    await move(database, connection, ConnectionStatus.DISCONNECTED)
    assert await removals.on_their_way(task) == 1
    await Credentials(database).purge(scope, connection.id)
    assert await removals.on_their_way(task) == 0


async def test_workflow_that_outlives_its_rows_comes_to_its_end(
    removals: Removals, database: Database, scope: Scope, connection: Connection
) -> None:
    task = await begin(removals, scope, ACCOUNT)
    await move(database, connection, ConnectionStatus.DISCONNECTED)
    while await Erasing(database).forget(task):
        pass
    assert await move(database, connection, ConnectionStatus.DISCONNECTED, sequence=2) == []
    assert await Connections(database).get(scope, connection.id) is None


async def test_forgetting_in_steps_leaves_what_belongs_to_others(
    removals: Removals,
    database: Database,
    scope: Scope,
    other: Scope,
    connection: Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(erasing, "BATCH", 2)
    for number in range(5):
        await grant(database, scope, await make_connection(database, scope, f"customer {number}"))
    theirs = await make_connection(database, other)
    await grant(database, other, theirs)
    await Tenants(database).save_linked_account(scope, "second", {}, NOW)
    task = await begin(removals, scope, ACCOUNT)
    steps = 0
    while await Erasing(database).forget(task):
        steps += 1
    assert steps > 6
    assert await Tenants(database).linked_account(scope, "second") is not None
    assert await Credentials(database).read(other, theirs.id) is not None
    await Erasing(database).finish(task, NOW)
    assert await removals.unfinished("", 10) == []


async def test_answers_to_an_accounts_browsers_go_with_it(removals: Removals, database: Database, scope: Scope) -> None:
    """An account of the same id, made later, must not be answered what was meant for this one."""
    answers = Answers(database)
    mine, others = [Place(scope, browsers_of(account), "key") for account in ("acme", "other")]
    for place in (mine, others):
        claim = await answers.claim(place, "request", NOW)
        assert isinstance(claim, Claim)
        await answers.keep(claim, 200, b"sealed")
    task = await begin(removals, scope, ACCOUNT)
    while await Erasing(database).forget(task):
        pass
    assert isinstance(await answers.claim(mine, "request", NOW), Claim)
    assert not isinstance(await answers.claim(others, "request", NOW), Claim)


async def test_row_that_is_still_referred_to_is_not_lost_by_chance(database: Database, connection: Connection) -> None:
    """The order of the steps is that of the foreign keys, which hold."""
    with pytest.raises(IntegrityError):
        async with database.writing() as writing:
            await writing.execute(CONNECTIONS.delete().where(CONNECTIONS.c.id == connection.id))


async def test_operator_who_signs_in_at_the_last_moment_keeps_no_environment_from_its_end(
    removals: Removals, database: Database, scope: Scope
) -> None:
    """The keys are good to the end, for who asks how far it is."""
    keys, consoles = ApiKeys(database), ConsoleSessions(database)
    task = await begin(removals, scope, ORGANIZATION)
    while await Erasing(database).forget(task):
        pass
    key = await keys.authenticate(await keys.add(scope, "operator", NOW), NOW)
    assert key is not None
    secret = await consoles.open(key, NOW, may_act=False)
    await Erasing(database).finish(task, NOW)
    assert await consoles.of_browser(secret, NOW) is None


async def test_erased_environment_is_sealed_under_a_new_key_when_it_is_used_again(
    removals: Removals, database: Database, scope: Scope
) -> None:
    vault = Vault(database, MasterKeys(new_master_key()))
    before = await vault.seal(scope, Kind.CLIENT_SECRET, "app", b"secret")
    task = await begin(removals, scope, ORGANIZATION)
    while await Erasing(database).forget(task):
        pass
    await Erasing(database).finish(task, NOW)
    await Tenants(database).save_linked_account(scope, "acme", {}, NOW)
    after = await vault.seal(scope, Kind.CLIENT_SECRET, "app", b"secret")
    assert before[1:17] != after[1:17]  # the key's id
