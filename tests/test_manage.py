"""The operator's commands as processes: what they print and how they end."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from dev.config import ROOT
from everlink.contract import Environment, KeyScope
from store.api_keys import ApiKeys
from store.codec import Pseudonyms
from store.custom_headers import open_headers
from store.database import Database, utc_now
from store.scope import Scope
from store.tables import WebhookEndpoint
from store.tenants import Tenants
from store.vault import Keyring, MasterKeys, Vault, new_master_key
from store.webhooks import Webhooks


def manage(folder: Path, *arguments: str, **settings: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env={
            "PATH": os.environ["PATH"],
            "EVERLINK_DATABASE_URL": f"sqlite+aiosqlite:///{folder}/everlink.sqlite3",
            "EVERLINK_TEMPORAL_ADDRESS": "127.0.0.1:9",
            **settings,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def test_new_master_key_is_printed_whole_through_a_pipe(tmp_path: Path) -> None:
    code, out, err = manage(tmp_path, "new-master-key", "k2")
    assert (code, err) == (0, "") and out.startswith("k2:") and len(out.strip()) == 47


def test_search_value_is_the_account_or_its_pseudonym(tmp_path: Path) -> None:
    assert manage(tmp_path, "search-value", "acme") == (0, "acme\n", "")
    key = new_master_key()
    code, pseudonym, _ = manage(tmp_path, "search-value", "acme", EVERLINK_CODEC_KEY=key)
    assert code == 0 and pseudonym.strip() == Pseudonyms(Keyring("", key)).of("acme")
    code, out, err = manage(tmp_path, "search-value", "acme", EVERLINK_CODEC_KEY="k1:AAAA")
    assert (code, out) == (1, "") and "EVERLINK_CODEC_KEY is written as" in err and "AAAA" not in err


@pytest.mark.parametrize("command", ["init", "check-worker"])
def test_unreachable_temporal_is_one_line_and_a_failure(tmp_path: Path, command: str) -> None:
    code, _, err = manage(tmp_path, command)
    assert code == 1 and len(err.splitlines()) == 1 and "Temporal at 127.0.0.1:9" in err


async def test_init_seals_webhook_headers_of_older_versions_and_needs_the_master_key_only_then(
    sqlite_url: str, tmp_path: Path
) -> None:
    database, key = Database(sqlite_url), new_master_key()
    scope = Scope(await Tenants(database).add_organization("Acme", utc_now()), Environment.TEST)
    old = WebhookEndpoint(
        id="we_old",
        org_id=scope.org_id,
        environment=scope.environment,
        url="https://product.example/",
        secret=b"sealed",
        headers={"authorization": "Bearer planted"},
        created_at=utc_now(),
    )
    await Webhooks(database).add(old)
    code, _, err = manage(tmp_path, "init")
    assert code == 1 and "EVERLINK_MASTER_KEY" in err and len(err.splitlines()) == 1
    for _ in range(2):
        assert "Temporal at 127.0.0.1:9" in manage(tmp_path, "init", EVERLINK_MASTER_KEY=key)[2]
        row = await Webhooks(database).get(scope, "we_old")
        assert row is not None and (row.headers, row.header_names) == ({}, ["authorization"])
    vault = Vault(database, MasterKeys(key))
    assert await open_headers(vault, scope, row.id, row.sealed_headers, {}) == {"authorization": "Bearer planted"}
    await database.close()


def test_unknown_command_is_a_failure(tmp_path: Path) -> None:
    assert manage(tmp_path, "nonsense")[0] == 2


def test_seeding_is_for_development_only(tmp_path: Path) -> None:
    code, out, err = manage(tmp_path, "dev-seed")
    assert (code, out) == (1, "") and "EVERLINK_DEV=1" in err


async def test_api_key_is_made_with_the_scopes_and_the_end_that_are_asked_for(sqlite_url: str, tmp_path: Path) -> None:
    database = Database(sqlite_url)
    tenants, now = Tenants(database), utc_now()
    org = await tenants.add_organization("Acme", now)
    for options, rights, lives in (
        ((), set(KeyScope), True),
        (("--scope", "read", "--scope", "tokens", "--expires-in-days", "30"), {KeyScope.READ, KeyScope.TOKENS}, False),
    ):
        code, key, _ = manage(tmp_path, "create-api-key", org, "test", *options)
        found = await ApiKeys(database).authenticate(key.strip(), now)
        assert code == 0 and found is not None and found.scopes == rights
        assert (await ApiKeys(database).authenticate(key.strip(), now + timedelta(days=31)) is not None) is lives
    await database.close()
    assert manage(tmp_path, "create-api-key", org, "test", "--scope", "everything")[0] == 2
