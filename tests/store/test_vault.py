"""The vault opens what it sealed, for its owner only, under its key only."""

from __future__ import annotations

import asyncio
import stat
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr

from everlink.contract import Environment
from store.database import Database
from store.scope import Scope
from store.settings import Settings
from store.vault import (
    Kind,
    MasterKeyInvalid,
    MasterKeyMissing,
    MasterKeys,
    SealBroken,
    Vault,
    new_master_key,
)

SECRET = b"refresh-token-that-nobody-may-read"
KEYS = MasterKeys(new_master_key())


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
    with pytest.raises(MasterKeyInvalid):
        await stranger.open(scope, Kind.CREDENTIAL, "con_1", blob)
    renamed = Vault(database, MasterKeys(new_master_key("k2")))
    with pytest.raises(MasterKeyInvalid):
        await renamed.open(scope, Kind.CREDENTIAL, "con_1", blob)


async def test_first_master_key_writes_and_all_read(database: Database, scope: Scope, other: Scope) -> None:
    old, new = new_master_key("old"), new_master_key("new")
    blob = await Vault(database, MasterKeys(old)).seal(scope, Kind.CREDENTIAL, "con_1", SECRET)
    both = Vault(database, MasterKeys(f"{new}, {old}"))
    assert await both.open(scope, Kind.CREDENTIAL, "con_1", blob) == SECRET
    fresh = await both.seal(other, Kind.CREDENTIAL, "con_2", SECRET)
    only_new = Vault(database, MasterKeys(new))
    assert await only_new.open(other, Kind.CREDENTIAL, "con_2", fresh) == SECRET
    with pytest.raises(MasterKeyInvalid):
        await only_new.open(scope, Kind.CREDENTIAL, "con_1", blob)


async def test_vaults_that_race_for_the_first_data_key_end_with_one(database: Database, scope: Scope) -> None:
    vaults = [Vault(database, KEYS) for _ in range(8)]
    blobs = await asyncio.gather(*(vault.seal(scope, Kind.CREDENTIAL, "con_1", SECRET) for vault in vaults))
    for blob in blobs:
        assert await Vault(database, KEYS).open(scope, Kind.CREDENTIAL, "con_1", blob) == SECRET


def test_service_refuses_to_start_without_a_key(tmp_path: Path) -> None:
    with pytest.raises(MasterKeyMissing):
        MasterKeys.from_settings(Settings(dev=False, state_dir=tmp_path))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("module", ["worker.py", "-m api"])
async def test_process_without_a_key_says_so_in_one_line(module: str, tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *module.split(),
        cwd=Path(__file__).parents[2],
        env={"PATH": "/usr/bin", "EVERLINK_DATABASE_URL": f"sqlite+aiosqlite:///{tmp_path}/x.sqlite3"},
        stderr=asyncio.subprocess.PIPE,
    )
    _, error = await process.communicate()
    assert process.returncode == 1
    assert len(error.splitlines()) == 1 and b"EVERLINK_MASTER_KEY" in error


def test_development_makes_its_own_key_and_keeps_it(tmp_path: Path) -> None:
    settings = Settings(dev=True, state_dir=tmp_path)
    MasterKeys.from_settings(settings)
    file = tmp_path / "master.key"
    made = file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    MasterKeys.from_settings(settings)
    assert file.read_text() == made


@pytest.mark.parametrize("text", ["", "k1", "k1:", "k1:AAAA", ":" + "A" * 44, "k1:not base64!", "k1:" + "A" * 43])
def test_malformed_master_key_is_refused_without_being_shown(text: str) -> None:
    with pytest.raises((MasterKeyInvalid, MasterKeyMissing)) as caught:
        MasterKeys.from_settings(Settings(master_key=SecretStr(text)))
    assert "AAAA" not in str(caught.value)


async def test_master_key_may_stand_in_a_file(tmp_path: Path, database: Database, scope: Scope) -> None:
    file = tmp_path / "key"
    file.write_text(new_master_key() + "\n")
    keys = MasterKeys.from_settings(Settings(master_key_file=file))
    blob = await Vault(database, keys).seal(scope, Kind.CREDENTIAL, "con_1", SECRET)
    assert await Vault(database, keys).open(scope, Kind.CREDENTIAL, "con_1", blob) == SECRET
