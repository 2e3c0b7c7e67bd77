"""Compare-and-swap and intents: what keeps two refreshes of one generation apart."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from datetime import timedelta

import pytest
from sqlalchemy.exc import IntegrityError, NoResultFound

from store.credentials import Credentials, Intent, IntentOutcome, Leased, StoredCredential
from store.database import Database
from store.scope import Scope
from store.tables import Connection
from tests.store.conftest import NOW
from tests.store.processes import run_together

LEASE = timedelta(seconds=40)


@pytest.fixture
def credentials(database: Database) -> Credentials:
    return Credentials(database)


def stored(generation: int) -> StoredCredential:
    return StoredCredential(generation, b"new", renewable=True, expires_at=NOW + timedelta(hours=1))


async def begin(credentials: Credentials, connection: Connection, later: float = 0) -> Intent:
    intent = await credentials.begin(connection.id, 1, NOW + timedelta(seconds=later), LEASE)
    assert isinstance(intent, Intent)
    return intent


async def test_each_grant_is_the_next_generation(
    credentials: Credentials, scope: Scope, connection: Connection
) -> None:
    for expected in (2, 3):
        made = await credentials.grant(scope, connection.id, b"x", renewable=True, expires_at=None, now=NOW)
        assert made == expected


async def test_swap_moves_the_expected_generation_only(
    credentials: Credentials, scope: Scope, connection: Connection
) -> None:
    assert await credentials.swap(connection.id, 1, stored(2), NOW)
    assert not await credentials.swap(connection.id, 1, StoredCredential(2, b"stale", True, None), NOW)
    read = await credentials.read(scope, connection.id)
    assert read == stored(2)


async def test_stale_process_cannot_overwrite_a_reconnect(
    credentials: Credentials, scope: Scope, connection: Connection
) -> None:
    intent = await begin(credentials, connection)
    await credentials.grant(scope, connection.id, b"reconnected", renewable=True, expires_at=None, now=NOW)
    assert not await credentials.swap(connection.id, 1, stored(2), NOW, intent)
    read = await credentials.read(scope, connection.id)
    assert read is not None and (read.generation, read.sealed) == (2, b"reconnected")


async def test_unfinished_intent_keeps_others_out_until_its_lease_ends(
    credentials: Credentials, connection: Connection
) -> None:
    await begin(credentials, connection)
    leased = await credentials.begin(connection.id, 1, NOW + timedelta(seconds=10), LEASE)
    assert leased == Leased(30.0)
    assert (await begin(credentials, connection, later=41)).in_doubt


@pytest.mark.parametrize(
    ("outcome", "in_doubt"),
    [(IntentOutcome.NOT_SENT, False), (IntentOutcome.ANSWERED, False), (IntentOutcome.UNKNOWN, True)],
)
async def test_known_outcome_does_not_wait_and_unknown_sticks(
    credentials: Credentials, connection: Connection, outcome: IntentOutcome, in_doubt: bool
) -> None:
    await credentials.close(await begin(credentials, connection), outcome)
    again = await begin(credentials, connection, later=1)
    assert again.in_doubt is in_doubt
    await credentials.close(again, IntentOutcome.ANSWERED)
    assert (await begin(credentials, connection, later=2)).in_doubt is in_doubt


async def test_outcome_stands_once_given(credentials: Credentials, connection: Connection) -> None:
    intent = await begin(credentials, connection)
    await credentials.close(intent, IntentOutcome.UNKNOWN)
    await credentials.close(intent, IntentOutcome.ANSWERED)
    assert (await begin(credentials, connection, later=1)).in_doubt


async def test_moved_generation_gets_no_intent(credentials: Credentials, connection: Connection) -> None:
    assert await credentials.swap(connection.id, 1, stored(2), NOW)
    assert await credentials.begin(connection.id, 1, NOW, LEASE) is None


async def test_new_generation_starts_without_doubt(credentials: Credentials, connection: Connection) -> None:
    await credentials.close(await begin(credentials, connection), IntentOutcome.UNKNOWN)
    assert await credentials.swap(connection.id, 1, stored(2), NOW)
    intent = await credentials.begin(connection.id, 2, NOW, LEASE)
    assert isinstance(intent, Intent) and not intent.in_doubt


async def test_purged_credential_is_gone_for_good(
    credentials: Credentials, scope: Scope, other: Scope, connection: Connection
) -> None:
    await begin(credentials, connection)
    await credentials.purge(other, connection.id)
    assert await credentials.read(scope, connection.id) is not None
    await credentials.purge(scope, connection.id)
    assert await credentials.read(scope, connection.id) is None
    assert await credentials.begin(connection.id, 1, NOW, LEASE) is None
    assert not await credentials.swap(connection.id, 1, stored(2), NOW)


async def test_another_tenant_reads_nothing(credentials: Credentials, other: Scope, connection: Connection) -> None:
    assert await credentials.read(other, connection.id) is None


RACER = """
from datetime import UTC, datetime, timedelta
from store.credentials import Credentials, Intent
from store.database import Database

async def main(url, connection_id):
    database = Database(url)
    now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    intent = await Credentials(database).begin(connection_id, 1, now, timedelta(seconds=40))
    print("won" if isinstance(intent, Intent) else "lost")
    await database.close()
"""


async def test_of_several_processes_one_gets_the_intent(database_url: str, connection: Connection) -> None:
    answers = await run_together(RACER, database_url, connection.id, count=3)
    assert sorted(answers) == ["lost"] * 2 + ["won"]


async def test_of_several_swaps_at_once_one_is_stored(
    credentials: Credentials, scope: Scope, connection: Connection
) -> None:
    rivals = [StoredCredential(2, b"%d" % number, True, None) for number in range(8)]
    won = await asyncio.gather(*(credentials.swap(connection.id, 1, rival, NOW) for rival in rivals))
    assert sum(won) == 1
    assert await credentials.read(scope, connection.id) == rivals[won.index(True)]


async def test_grants_at_once_take_a_generation_each(
    credentials: Credentials, scope: Scope, connection: Connection
) -> None:
    def grant(sealed: bytes) -> Awaitable[int]:
        return credentials.grant(scope, connection.id, sealed, renewable=True, expires_at=None, now=NOW)

    made = await asyncio.gather(*(grant(b"%d" % number) for number in range(5)))
    assert sorted(made) == [2, 3, 4, 5, 6]
    read = await credentials.read(scope, connection.id)
    assert read is not None and read.sealed == b"%d" % made.index(6)


async def test_grant_of_another_tenant_changes_nothing(
    credentials: Credentials, scope: Scope, other: Scope, connection: Connection
) -> None:
    before = await credentials.read(scope, connection.id)
    with pytest.raises((IntegrityError, NoResultFound)):
        await credentials.grant(other, connection.id, b"planted", renewable=True, expires_at=None, now=NOW)
    assert await credentials.read(scope, connection.id) == before


async def test_late_success_is_stored_while_its_generation_stands(
    credentials: Credentials, scope: Scope, connection: Connection
) -> None:
    late = await begin(credentials, connection)
    second = await begin(credentials, connection, later=41)
    assert await credentials.swap(connection.id, 1, stored(2), NOW, late)
    assert not await credentials.swap(connection.id, 1, StoredCredential(2, b"x", True, None), NOW, second)
    assert await credentials.read(scope, connection.id) == stored(2)


async def test_lost_answer_sticks_through_later_ones_that_came(
    credentials: Credentials, connection: Connection
) -> None:
    await begin(credentials, connection)  # its process was killed
    for later in (41, 42):
        again = await begin(credentials, connection, later)
        assert again.in_doubt
        await credentials.close(again, IntentOutcome.ANSWERED)


async def test_credential_that_nobody_granted_gets_no_intent(credentials: Credentials, scope: Scope) -> None:
    assert await credentials.begin("con_unknown", 1, NOW, LEASE) is None
    assert not await credentials.swap("con_unknown", 1, stored(2), NOW)


def test_seconds_left_are_never_none_of_a_credential_that_ends() -> None:
    assert stored(1).seconds_left(NOW) == 3600.0
    assert stored(1).seconds_left(NOW + timedelta(days=1)) == 1.0
    assert StoredCredential(1, b"", True, None).seconds_left(NOW) is None
