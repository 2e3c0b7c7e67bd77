"""The database, what lies sealed in it, and its clock."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import URL, func, make_url, select

from doctor import clock
from doctor.findings import Finding, failure, ok, warning
from providers.catalog import own_entry
from store.database import Database, StoreUnavailable, utc_now
from store.migrate import Schema, schema
from store.scope import Scope
from store.settings import Settings
from store.tables import CREDENTIALS, DATA_KEYS, ORGANIZATIONS, OWN_APPLICATIONS
from store.vault import Kind, MasterKeyMissing, MasterKeys, Vault, VaultError

AS_BEFORE = "set EVERLINK_MASTER_KEY to the key that was used, with every older one behind it, by commas"


class _TakenBack(Exception):
    """What was written for a try is not kept."""


async def examine(settings: Settings) -> AsyncIterator[Finding]:
    address = settings.database_url.get_secret_value()
    url = make_url(address)
    if _is_missing(url):  # to open it would make it
        yield failure("database", f"there is no {url.database}", "python manage.py init")
        return
    database = Database(address)
    try:
        yield (found := await _schema(database))
        if found.mend is not None:
            return
        yield await _writable(database)
        yield await _keys(database, settings)
        yield await _own_applications(database)
        if not database.is_sqlite:
            yield clock.compared("clock, beside the database", await _now(database))
    except StoreUnavailable:
        yield failure("database", f"{_place(database)} cannot be reached", "start it, or correct EVERLINK_DATABASE_URL")
    finally:
        await database.close()


def _is_missing(url: URL) -> bool:
    return url.get_backend_name() == "sqlite" and not Path(url.database or "").exists()


def _place(database: Database) -> str:
    url = database.url
    return f"{url.database}" if database.is_sqlite else f"{url.host}:{url.port or 5432}/{url.database}"


async def _schema(database: Database) -> Finding:
    place = _place(database)
    match await schema(database):
        case Schema.PRESENT:
            return ok("database", f"{place}, at the present schema")
        case Schema.OLDER:
            return failure("database", f"{place} lacks migrations of this release", "python manage.py init")
        case Schema.UNKNOWN:
            said = f"{place} was migrated by a later release than this one"
            return failure("database", said, "run that release, or restore a backup of this one's")


async def _writable(database: Database) -> Finding:
    row = {"id": "doctor", "name": "doctor", "created_at": utc_now()}
    try:
        async with database.writing() as connection:
            await connection.execute(ORGANIZATIONS.insert().values(row))
            raise _TakenBack
    except _TakenBack:
        return ok("database writes", "a row was written, and taken back")
    except StoreUnavailable:
        mend = "look for a full disk, a file without write permission, or a replica in place of the primary"
        return failure("database writes", "it refuses a row", mend)


async def _keys(database: Database, settings: Settings) -> Finding:
    """Every data key, and the oldest and the newest credential, which tell whether key and backup fit together."""
    query = select(DATA_KEYS.c.org_id, DATA_KEYS.c.environment)
    async with database.reading() as connection:
        scopes = [Scope(row.org_id, row.environment) for row in (await connection.execute(query)).all()]
    try:
        vault = Vault(database, MasterKeys.from_settings(settings))
    except MasterKeyMissing as error:
        mend = AS_BEFORE if scopes else "python manage.py new-master-key, and set EVERLINK_MASTER_KEY to what it prints"
        return failure("keys", f"there is no master key: {error}", mend)
    except VaultError as error:
        return failure("keys", str(error), AS_BEFORE)
    closed: list[str] = []
    for scope in scopes:
        try:
            await vault.sign(scope, Kind.CURSOR, "", b"")  # which takes the scope's data key
        except VaultError as error:
            closed.append(str(error))
    if closed:
        return failure("keys", f"{len(closed)} of {len(scopes)} data keys stay closed: {closed[0]}", AS_BEFORE)
    return await _credentials(database, vault, len(scopes))


async def _credentials(database: Database, vault: Vault, data_keys: int) -> Finding:
    query = select(CREDENTIALS)
    async with database.reading() as connection:
        rows = [
            (await connection.execute(query.order_by(order).limit(1))).one_or_none()
            for order in (CREDENTIALS.c.updated_at, CREDENTIALS.c.updated_at.desc())
        ]
    for row in rows:
        if row is None:
            return ok("keys", f"data keys: {data_keys}, all open; there is no credential yet")
        try:
            await vault.open(Scope(row.org_id, row.environment), Kind.CREDENTIAL, row.connection_id, row.sealed)
        except VaultError as error:
            said = f"the credential of {row.connection_id} does not open: {error}"
            return failure("keys", said, "restore tables data_key and credential from one and the same backup")
    return ok("keys", f"data keys: {data_keys}, all open, as do the oldest and the newest credential")


async def _own_applications(database: Database) -> Finding:
    async with database.reading() as connection:
        rows = (await connection.execute(select(OWN_APPLICATIONS))).all()
    broken = [f"{row.slug} of {row.org_id}" for row in rows if own_entry(row.slug, row.definition) is None]
    if broken:
        said = f"definitions that are not valid any more: {', '.join(broken)}"
        return warning("own applications", said, "have each saved anew: PUT /v1/catalog/{slug}; a 422 names the field")
    return ok("own applications", f"{len(rows)}, all valid")


async def _now(database: Database) -> datetime:
    async with database.reading() as connection:
        now: datetime = (await connection.execute(select(func.clock_timestamp()))).scalar_one()
    return now.astimezone(UTC)
