"""What is wrong with the database and the keys, broken for real and mended as the doctor says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import Connection, insert, text, update
from sqlalchemy.ext.asyncio import create_async_engine
from temporalio.testing import WorkflowEnvironment

from dev.config import ROOT
from doctor.findings import Standing
from everlink.contract import AuthType, Environment
from store.connections import Connections
from store.credentials import Credentials
from store.database import Database, utc_now
from store.migrate import alembic_config
from store.scope import Scope
from store.tables import CREDENTIALS, OWN_APPLICATIONS
from store.tenants import Tenants
from store.vault import Kind, MasterKeys, Vault, new_master_key
from tests.doctor.helping import Operator
from tests.postgres import Postgres
from tests.test_manage import manage

NOWHERE = "127.0.0.1:9"  # Temporal is another test's


def operator_of(url: str, **more: str) -> Operator:
    return Operator({"EVERLINK_DATABASE_URL": url, "EVERLINK_TEMPORAL_ADDRESS": NOWHERE, **more})


async def on_plain_engine(url: str, work: Callable[[Connection], object]) -> None:
    engine = create_async_engine(url)
    async with engine.begin() as connection:
        await connection.run_sync(work)
    await engine.dispose()


def as_of_an_older_release(connection: Connection) -> None:
    command.upgrade(alembic_config(connection), "0012")


@pytest.mark.parametrize("release", [None, as_of_an_older_release])
async def test_database_that_lacks_migrations_is_brought_up_by_the_command_that_is_named(
    release: Callable[[Connection], None] | None, tmp_path: Path, temporal: WorkflowEnvironment
) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path}/here/older.sqlite3"
    if release is not None:
        (tmp_path / "here").mkdir()
        await on_plain_engine(url, release)
    operator = operator_of(url, EVERLINK_TEMPORAL_ADDRESS=temporal.client.service_client.config.target_host)
    found = (await operator.looks())["database"]
    assert found.standing is Standing.FAILURE
    assert ("there is no" if release is None else "lacks migrations") in found.said
    assert (tmp_path / "here" / "older.sqlite3").exists() is (release is not None), "to look makes no database"
    await operator.mends(found)
    assert (await operator.looks())["database"].standing is Standing.OK


async def test_database_of_a_later_release_is_not_touched(sqlite_url: str) -> None:
    await on_plain_engine(sqlite_url, lambda it: it.execute(text("update alembic_version set version_num = '9999'")))
    found = await operator_of(sqlite_url).looks()
    assert "later release" in found["database"].said and "database writes" not in found


async def test_database_that_is_away_is_one_failure(postgres: Postgres) -> None:
    operator = operator_of("postgresql+asyncpg://everlink:planted-password@127.0.0.1:9/everlink")
    found = await operator.looks()
    assert found["database"].standing is Standing.FAILURE and "127.0.0.1:9/everlink" in found["database"].said
    assert "keys" not in found and "planted" not in str(found)
    operator.variables["EVERLINK_DATABASE_URL"] = postgres.url("migrated")
    assert (await operator.looks())["database"].standing is Standing.OK


async def test_database_that_takes_no_row_is_told_from_one_that_does(postgres_url: str) -> None:
    operator, name = operator_of(postgres_url), postgres_url.rpartition("/")[2]
    found = await operator.looks()
    assert found["database writes"].standing is found["clock, beside the database"].standing is Standing.OK
    for value, standing in (("on", Standing.FAILURE), ("off", Standing.OK)):

        def turn(connection: Connection, value: str = value) -> None:
            connection.execute(text("set transaction read write"))
            connection.execute(text(f"alter database {name} set default_transaction_read_only = {value}"))

        await on_plain_engine(postgres_url, turn)
        found = await operator.looks()
        assert (found["database"].standing, found["database writes"].standing) == (Standing.OK, standing)


class Sealed:
    """Two credentials, under one master key."""

    def __init__(self, url: str) -> None:
        self.key = new_master_key("k1")
        self.database = Database(url)

    async def fill(self) -> None:
        tenants, now = Tenants(self.database), utc_now()
        vault = Vault(self.database, MasterKeys(self.key))
        scope = Scope(await tenants.add_organization("Acme", now), Environment.TEST)
        await tenants.save_linked_account(scope, "acme", {}, now)
        await tenants.enable_application(scope, "slack", {}, now)
        for identifier in ("one", "two"):
            row = await Connections(self.database).find_or_create(
                scope,
                linked_account_id="acme",
                slug="slack",
                identifier=identifier,
                display_name=None,
                auth_type=AuthType.OAUTH2,
                now=now,
            )
            sealed = await vault.seal(scope, Kind.CREDENTIAL, row.id, b"planted-token")
            await Credentials(self.database).grant(
                scope, row.id, sealed, renewable=True, expires_at=None, now=utc_now()
            )


@pytest.fixture
async def sealed(database_url: str) -> Sealed:
    made = Sealed(database_url)
    await made.fill()
    await made.database.close()
    return made


async def test_master_key_that_is_not_there_or_another_one_is_told(sealed: Sealed, database_url: str) -> None:
    operator = operator_of(database_url)
    found = await operator.looks()
    assert "there is no master key" in found["keys"].said and "the key that was used" in (found["keys"].mend or "")
    other = new_master_key("k2")
    for keys, standing in (
        (other, Standing.FAILURE),
        (new_master_key("k1"), Standing.FAILURE),
        ("k1:nonsense", Standing.FAILURE),
        (f"{other},{sealed.key}", Standing.OK),
        (sealed.key, Standing.OK),
    ):
        operator.variables["EVERLINK_MASTER_KEY"] = keys
        found = await operator.looks()
        assert found["keys"].standing is standing, found["keys"]
        assert not {part.partition(":")[2] for part in keys.split(",")} & set(str(found).split())


async def test_first_key_of_a_new_database_is_made_by_the_command_that_is_named(sqlite_url: str) -> None:
    operator = operator_of(sqlite_url)
    found = (await operator.looks())["keys"]
    assert found.standing is Standing.FAILURE and found.mend is not None
    made = manage(Path(), *found.mend.partition(",")[0].removeprefix("python manage.py ").split())[1].strip()
    operator.variables["EVERLINK_MASTER_KEY"] = made
    assert (await operator.looks())["keys"].standing is Standing.OK


async def test_credential_that_came_from_elsewhere_is_told_with_its_connection(
    sealed: Sealed, database_url: str
) -> None:
    operator = operator_of(database_url, EVERLINK_MASTER_KEY=sealed.key)
    assert (await operator.looks())["keys"].standing is Standing.OK
    row: list[tuple[str, bytes]] = []

    def put_back(connection: Connection) -> None:
        connection.execute(update(CREDENTIALS).where(CREDENTIALS.c.connection_id == row[0][0]).values(sealed=row[0][1]))

    def swap(connection: Connection) -> None:
        newest = CREDENTIALS.select().order_by(CREDENTIALS.c.updated_at.desc()).limit(1)
        found = connection.execute(newest).one()
        row.append((found.connection_id, found.sealed))
        broken = bytes([*found.sealed[:-1], found.sealed[-1] ^ 1])
        connection.execute(
            update(CREDENTIALS).where(CREDENTIALS.c.connection_id == found.connection_id).values(sealed=broken)
        )

    await on_plain_engine(database_url, swap)
    found = (await operator.looks())["keys"]
    assert found.standing is Standing.FAILURE and row[0][0] in found.said and "planted" not in found.said
    await on_plain_engine(database_url, put_back)
    assert (await operator.looks())["keys"].standing is Standing.OK


async def test_definition_that_is_not_valid_any_more_is_named(sealed: Sealed, database_url: str) -> None:
    operator, now = operator_of(database_url, EVERLINK_MASTER_KEY=sealed.key), utc_now()
    assert (await operator.looks())["own applications"].said == "0, all valid"
    tenants = Tenants(sealed.database)
    org = await tenants.add_organization("Brings its own", now)
    row = {
        "org_id": org,
        "environment": Environment.TEST,
        "slug": "own-crm",
        "definition": {"name": "CRM"},
        "created_at": now,
        "updated_at": now,
    }
    await on_plain_engine(database_url, lambda connection: connection.execute(insert(OWN_APPLICATIONS).values(row)))
    found = (await operator.looks())["own applications"]
    assert found.standing is Standing.WARNING and f"own-crm of {org}" in found.said
    await sealed.database.close()


def test_command_says_all_in_lines_or_as_json_and_fails_with_a_failure(tmp_path: Path) -> None:
    code, out, err = manage(tmp_path, "doctor", EVERLINK_MASTER_KEY=(key := new_master_key()))
    assert (code, err) == (1, "") and "failure: database: " in out and " | mend: python manage.py init" in out
    code, out, err = manage(tmp_path, "doctor", "--json", EVERLINK_MASTER_KEY=key)
    told = json.loads(out)
    assert (code, err, told["ok"]) == (1, "", False) and key not in out
    assert {"check", "standing", "said", "mend"} == set(told["checks"][0])


def test_terminal_gets_a_table(tmp_path: Path) -> None:
    terminal, other = os.openpty()
    environment = {
        "PATH": os.environ["PATH"],
        "COLUMNS": "100",
        "EVERLINK_DATABASE_URL": f"sqlite+aiosqlite:///{tmp_path}/everlink.sqlite3",
        "EVERLINK_TEMPORAL_ADDRESS": NOWHERE,
    }
    done = subprocess.run([sys.executable, "manage.py", "doctor"], cwd=ROOT, env=environment, stdout=other, check=False)
    os.close(other)
    shown = os.read(terminal, 1 << 16).decode()
    os.close(terminal)
    assert done.returncode == 1 and "→ python manage.py init" in shown and "│" in shown
