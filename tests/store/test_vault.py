"""The vault opens what it sealed, for its owner only, under its key only."""

from __future__ import annotations

import asyncio
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import delete, select, update

from everlink.contract import Environment
from store.credentials import Credentials
from store.database import Database
from store.scope import Scope
from store.tables import CREDENTIALS, DATA_KEYS, Connection
from store.vault import KeyInvalid, Kind, MasterKeys, SealBroken, Vault, new_master_key
from tests.postgres import Postgres
from tests.store.conftest import NOW, make_connection
from tests.store.processes import run_together

SECRET = b"refresh-token-that-nobody-may-read"
KEY = new_master_key()
KEYS = MasterKeys(KEY)


@pytest.fixture
def vault(database: Database) -> Vault:
    return Vault(database, KEYS)


async def test_seal_opens_for_its_owner(vault: Vault, scope: Scope) -> None:
    blob = await vault.seal(scope, Kind.CREDENTIAL, "con_1", SECRET)
    assert SECRET not in blob
    assert await vault.open(scope, Kind.CREDENTIAL, "con_1", blob) == SECRET


async def test_two_seals_of_one_secret_differ(vault: Vault, scope: Scope) -> None:
    assert await vault.seal(scope, Kind.CREDENTIAL, "con_1", SECRET) != await vault.seal(
        scope, Kind.CREDENTIAL, "con_1", SECRET
    )


async def test_blob_of_another_row_kind_tenant_or_environment_does_not_open(
    vault: Vault, scope: Scope, other: Scope
) -> None:
    blob = await vault.seal(scope, Kind.CREDENTIAL, "con_1", SECRET)
    for place in (other, Scope(scope.org_id, Environment.PRODUCTION)):
        with pytest.raises(SealBroken):
            await vault.open(place, Kind.CREDENTIAL, "con_1", blob)
    for kind, owner in ((Kind.CREDENTIAL, "con_2"), (Kind.CLIENT_SECRET, "con_1")):
        with pytest.raises(SealBroken):
            await vault.open(scope, kind, owner, blob)


async def test_flipped_byte_anywhere_does_not_open(vault: Vault, scope: Scope) -> None:
    blob = await vault.seal(scope, Kind.CREDENTIAL, "con_1", SECRET)
    for position in range(len(blob)):
        broken = bytearray(blob)
        broken[position] ^= 1
        with pytest.raises(SealBroken) as caught:
            await vault.open(scope, Kind.CREDENTIAL, "con_1", bytes(broken))
        assert SECRET.decode() not in repr(caught.value)


async def test_truncated_blob_does_not_open(vault: Vault, scope: Scope) -> None:
    blob = await vault.seal(scope, Kind.CREDENTIAL, "con_1", SECRET)
    for length in range(len(blob)):
        with pytest.raises(SealBroken):
            await vault.open(scope, Kind.CREDENTIAL, "con_1", blob[:length])


async def test_without_the_master_key_credentials_are_unreadable(
    database: Database, vault: Vault, scope: Scope
) -> None:
    blob = await vault.seal(scope, Kind.CREDENTIAL, "con_1", SECRET)
    stranger = Vault(database, MasterKeys(new_master_key()))  # the same id, another key
    with pytest.raises(KeyInvalid):
        await stranger.open(scope, Kind.CREDENTIAL, "con_1", blob)
    renamed = Vault(database, MasterKeys(new_master_key("k2")))
    with pytest.raises(KeyInvalid):
        await renamed.open(scope, Kind.CREDENTIAL, "con_1", blob)


async def test_first_master_key_writes_and_all_read(database: Database, scope: Scope, other: Scope) -> None:
    old, new = new_master_key("old"), new_master_key("new")
    blob = await Vault(database, MasterKeys(old)).seal(scope, Kind.CREDENTIAL, "con_1", SECRET)
    both = Vault(database, MasterKeys(f"{new}, {old}"))
    assert await both.open(scope, Kind.CREDENTIAL, "con_1", blob) == SECRET
    fresh = await both.seal(other, Kind.CREDENTIAL, "con_2", SECRET)
    only_new = Vault(database, MasterKeys(new))
    assert await only_new.open(other, Kind.CREDENTIAL, "con_2", fresh) == SECRET
    with pytest.raises(KeyInvalid):
        await only_new.open(scope, Kind.CREDENTIAL, "con_1", blob)


async def test_vaults_that_race_for_the_first_data_key_end_with_one(database: Database, scope: Scope) -> None:
    vaults = [Vault(database, KEYS) for _ in range(8)]
    blobs = await asyncio.gather(*(vault.seal(scope, Kind.CREDENTIAL, "con_1", SECRET) for vault in vaults))
    for blob in blobs:
        assert await Vault(database, KEYS).open(scope, Kind.CREDENTIAL, "con_1", blob) == SECRET


RACER = """
from everlink.contract import Environment
from store.database import Database
from store.scope import Scope
from store.vault import Kind, MasterKeys, Vault

async def main(url, org_id, key):
    database = Database(url)
    scope = Scope(org_id, Environment.TEST)
    print((await Vault(database, MasterKeys(key)).seal(scope, Kind.CREDENTIAL, "con_1", b"secret")).hex())
    await database.close()
"""


async def test_processes_that_race_for_the_first_data_key_end_with_one(
    database_url: str, database: Database, scope: Scope
) -> None:
    vault = Vault(database, KEYS)
    for blob in await run_together(RACER, database_url, scope.org_id, KEY, count=3):
        assert await vault.open(scope, Kind.CREDENTIAL, "con_1", bytes.fromhex(blob)) == b"secret"


@pytest.mark.parametrize("secret", [b"", b"\0", bytes(range(256)) * 4096], ids=["empty", "a zero", "a megabyte"])
async def test_any_bytes_come_back_as_they_were(vault: Vault, scope: Scope, secret: bytes) -> None:
    blob = await vault.seal(scope, Kind.CREDENTIAL, "con_1", secret)
    assert await vault.open(scope, Kind.CREDENTIAL, "con_1", blob) == secret


async def test_blob_under_an_unknown_data_key_does_not_open(vault: Vault, scope: Scope) -> None:
    blob = await vault.seal(scope, Kind.CREDENTIAL, "con_1", SECRET)
    with pytest.raises(SealBroken):
        await vault.open(scope, Kind.CREDENTIAL, "con_1", blob[:1] + uuid4().bytes + blob[17:])


async def test_rows_swapped_between_two_connections_do_not_open(
    database: Database, vault: Vault, scope: Scope, connection: Connection
) -> None:
    credentials, rows = Credentials(database), [connection, await make_connection(database, scope, "grace")]
    for row in rows:
        sealed = await vault.seal(scope, Kind.CREDENTIAL, row.id, row.id.encode())
        await credentials.grant(scope, row.id, sealed, renewable=True, expires_at=None, now=NOW)
    sealed = [stored.sealed for row in rows if (stored := await credentials.read(scope, row.id))]
    async with database.writing() as write:
        for row, another in zip(rows, reversed(sealed), strict=True):
            mine = CREDENTIALS.c.connection_id == row.id
            await write.execute(update(CREDENTIALS).where(mine).values(sealed=another))
    for row in rows:
        stored = await credentials.read(scope, row.id)
        assert stored is not None
        with pytest.raises(SealBroken):
            await vault.open(scope, Kind.CREDENTIAL, row.id, stored.sealed)


async def test_data_key_moved_to_another_tenant_does_not_open(
    database: Database, vault: Vault, scope: Scope, other: Scope
) -> None:
    await vault.seal(scope, Kind.CREDENTIAL, "con_1", SECRET)
    async with database.writing() as write:
        await write.execute(update(DATA_KEYS).values(org_id=other.org_id))
    with pytest.raises(KeyInvalid):
        await Vault(database, KEYS).seal(other, Kind.CREDENTIAL, "con_1", SECRET)


async def test_altered_data_key_is_one_typed_error(database: Database, vault: Vault, scope: Scope) -> None:
    blob = await vault.seal(scope, Kind.CREDENTIAL, "con_1", SECRET)
    async with database.reading() as read:
        wrapped = (await read.execute(select(DATA_KEYS.c.wrapped))).scalar_one()
    flipped = [wrapped[:i] + bytes([wrapped[i] ^ 128]) + wrapped[i + 1 :] for i in range(len(wrapped))]
    for broken in flipped + [wrapped[:length] for length in range(len(wrapped))]:
        async with database.writing() as write:
            await write.execute(update(DATA_KEYS).values(wrapped=broken))
        with pytest.raises(KeyInvalid):
            await Vault(database, KEYS).open(scope, Kind.CREDENTIAL, "con_1", blob)


async def test_sealing_goes_on_while_the_database_is_away(vault: Vault, database: Database, scope: Scope) -> None:
    """A rotated grant is sealed before anybody knows whether it can be stored."""
    first = await vault.seal(scope, Kind.CREDENTIAL, "con_1", b"first")
    vault._database = Database("postgresql+asyncpg://nobody@127.0.0.1:9/nothing")
    blob = await vault.seal(scope, Kind.CREDENTIAL, "con_1", SECRET, like=first)
    assert await vault.open(scope, Kind.CREDENTIAL, "con_1", blob) == SECRET


async def test_nothing_is_sealed_under_a_data_key_that_was_erased(
    vault: Vault, database: Database, scope: Scope
) -> None:
    """Another process erased the environment, and it is used again: what is sealed then opens after a restart."""
    old = await vault.seal(scope, Kind.CREDENTIAL, "con_1", SECRET)
    async with database.writing() as connection:
        await connection.execute(delete(DATA_KEYS))
    new = await vault.seal(scope, Kind.CREDENTIAL, "con_2", SECRET)
    restarted = Vault(database, KEYS)
    assert await restarted.open(scope, Kind.CREDENTIAL, "con_2", new) == SECRET
    with pytest.raises(SealBroken):
        await restarted.open(scope, Kind.CREDENTIAL, "con_1", old)


async def test_nothing_on_disk_holds_the_secret(
    request: pytest.FixtureRequest, database: Database, vault: Vault, scope: Scope, connection: Connection
) -> None:
    sealed = await vault.seal(scope, Kind.CREDENTIAL, connection.id, SECRET)
    await Credentials(database).grant(scope, connection.id, sealed, renewable=True, expires_at=None, now=NOW)
    name = database.url.database
    assert name is not None
    if database.is_sqlite:
        disk = b"".join(file.read_bytes() for file in Path(name).parent.glob("everlink.sqlite3*"))
        assert sealed in disk
    else:
        server: Postgres = request.getfixturevalue("postgres")
        disk = server.dump(name)
        assert sealed.hex().encode() in disk
    for planted in (SECRET, KEY.partition(":")[2].encode()):
        assert planted not in disk and planted.hex().encode() not in disk
