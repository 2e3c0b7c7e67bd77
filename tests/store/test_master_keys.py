"""Without a master key nothing starts; a wrong one is refused and not shown."""

from __future__ import annotations

import asyncio
import stat
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr

from store.database import Database
from store.scope import Scope
from store.settings import Settings
from store.vault import KeyInvalid, Kind, MasterKeyMissing, MasterKeys, Vault, new_master_key
from tests.store.processes import ROOT, run_together

KEY = new_master_key()


def test_service_refuses_to_start_without_a_key(tmp_path: Path) -> None:
    with pytest.raises(MasterKeyMissing):
        MasterKeys.from_settings(Settings(dev=False, state_dir=tmp_path))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("module", ["worker.py", "-m api"])
async def test_process_without_a_key_says_so_in_one_line(module: str, tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *module.split(),
        cwd=ROOT,
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


@pytest.mark.parametrize(
    "text",
    [
        "",
        " , ",
        "k1",
        "k1:",
        "k1:AAAA",
        ":" + "A" * 44,
        "k1:not base64!",
        "k1:" + "A" * 43,
        "k1:" + "A" * 42 + "é=",
        "k" * 65 + ":" + "A" * 43 + "=",
        f"k1:{'A' * 43}=,k2:AAAA",
        f"k1:{'A' * 43}=,k1:{'B' * 42}A=",  # two keys of one id: only one of them could be found again
    ],
)
def test_malformed_master_key_is_refused_without_being_shown(text: str) -> None:
    with pytest.raises((KeyInvalid, MasterKeyMissing)) as caught:
        MasterKeys.from_settings(Settings(master_key=SecretStr(text)))
    assert "AAAA" not in repr(caught.value)


async def test_master_key_may_stand_in_a_file(tmp_path: Path, database: Database, scope: Scope) -> None:
    file = tmp_path / "key"
    file.write_text(new_master_key() + "\n")
    keys = MasterKeys.from_settings(Settings(master_key_file=file))
    blob = await Vault(database, keys).seal(scope, Kind.CREDENTIAL, "con_1", b"secret")
    assert await Vault(database, keys).open(scope, Kind.CREDENTIAL, "con_1", blob) == b"secret"


@pytest.mark.parametrize("name", ["absent", "."])
def test_key_file_that_cannot_be_read_is_no_key(tmp_path: Path, name: str) -> None:
    with pytest.raises(MasterKeyMissing, match="EVERLINK_MASTER_KEY_FILE"):
        MasterKeys.from_settings(Settings(dev=True, state_dir=tmp_path, master_key_file=tmp_path / name))
    assert list(tmp_path.iterdir()) == []


def test_key_file_that_holds_no_text_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_bytes(b"k1:\xff\xfe" + bytes(32))
    with pytest.raises(KeyInvalid):
        MasterKeys.from_settings(Settings(master_key_file=file))


STARTER = """
from pathlib import Path
from store.settings import Settings
from store.vault import MasterKeys

async def main(folder):
    print(MasterKeys.from_settings(Settings(dev=True, state_dir=Path(folder))).seal(b"data key", b"context").hex())
"""


async def test_development_processes_that_start_at_once_share_one_key(tmp_path: Path) -> None:
    made = await run_together(STARTER, str(tmp_path / "state"), count=3)
    keys = MasterKeys.from_settings(Settings(dev=True, state_dir=tmp_path / "state"))
    assert {keys.open(bytes.fromhex(wrapped), b"context") for wrapped in made} == {b"data key"}


def test_key_of_a_faster_process_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(dev=True, state_dir=tmp_path)
    wrapped = MasterKeys.from_settings(settings).seal(b"data key", b"context")
    monkeypatch.setattr(Path, "exists", lambda _: False)  # as seen a moment before
    assert MasterKeys.from_settings(settings).open(wrapped, b"context") == b"data key"
    assert [file.name for file in tmp_path.iterdir()] == ["master.key"]


def test_settings_do_not_show_the_key() -> None:
    assert KEY[3:] not in repr(Settings(master_key=SecretStr(KEY)))
