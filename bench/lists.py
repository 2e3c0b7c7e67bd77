"""How long a page of connections takes in the database, of few connections and of many."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from itertools import product
from random import Random
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from bench.lab import Lab
from bench.report import Part, spread
from everlink.contract import AuthType, ConnectionStatus, Environment, Health, ReauthReason
from store.database import Access, Database, utc_now
from store.listing import ConnectionFilter, page_query
from store.migrate import migrate
from store.scope import Scope
from store.tables import CONNECTIONS
from store.tenants import Tenants
from tests.postgres import Postgres

FEW, MANY = 1000, 100_000
AT_ONCE = 1000  # rows that are written together
LIMIT = 20  # the narrowest filters find as many of few connections, too: the pages are alike
ROUNDS = 25
FILTERS = {
    "status": ConnectionStatus.REAUTH_REQUIRED,
    "reason": ReauthReason.ACCESS_REVOKED,
    "health": Health.OK,
    "slug": "slack",
    "linked_account_id": "acme",
}


async def measure(lab: Lab) -> Part:
    samples = []
    for store, postgres in {"SQLite": None, "PostgreSQL": await lab.postgres()}.items():
        if store == "PostgreSQL" and postgres is None:
            continue
        async with _filled(lab, postgres, FEW) as few, _filled(lab, postgres, MANY) as many:
            for chosen in product((False, True), repeat=len(FILTERS)):
                given = {name: value for (name, value), yes in zip(FILTERS.items(), chosen, strict=True) if yes}
                samples.append({"store": store, "filters": list(given), **await _page(few, many, given)})
    return Part(samples, _figures(samples))


@asynccontextmanager
async def _filled(lab: Lab, postgres: Postgres | None, count: int) -> AsyncIterator[tuple[Database, Scope]]:
    """So many connections, of which every filter finds half."""
    if postgres is None:
        database = Database(f"sqlite+aiosqlite:///{lab.folder}/lists-{count}.sqlite3")
    else:
        postgres.create(f"lists-{count}")
        database = Database(postgres.url(f"lists-{count}"))
    await migrate(database)
    tenants, now = Tenants(database), utc_now()
    scope = Scope(await tenants.add_organization("Bench", now), Environment.TEST)
    for account in ("acme", "globex"):
        await tenants.save_linked_account(scope, account, {}, now)
    rows = _rows(scope, count)
    for first in range(0, count, AT_ONCE):
        some = rows[first : first + AT_ONCE]
        await database.run(Access.WRITE, lambda held, some=some: held.execute(CONNECTIONS.insert(), some))  # type: ignore[misc]
    if postgres is not None:
        await database.run(Access.READ, lambda held: held.execute(text("VACUUM ANALYZE connection")))
    yield database, scope
    await database.close()


def _rows(scope: Scope, count: int) -> list[dict[str, Any]]:
    random, now = Random(count), utc_now()
    reasons = ReauthReason.ACCESS_REVOKED, ReauthReason.APP_UNINSTALLED
    rows = []
    for number in range(count):
        status = random.choice((ConnectionStatus.ACTIVE, ConnectionStatus.REAUTH_REQUIRED))
        rows.append(
            {
                "id": f"con_{UUID(int=random.getrandbits(128)).hex}",
                **scope.columns,
                "linked_account_id": random.choice(("acme", "globex")),
                "slug": random.choice(("slack", "hubspot")),
                "identifier": f"{number}",
                "auth_type": AuthType.OAUTH2,
                "status": status,
                "health": random.choice((Health.OK, Health.DEGRADED)),
                "reason": random.choice(reasons) if status is ConnectionStatus.REAUTH_REQUIRED else None,
                "status_since": now,
                "sequence": 1,
                "created_at": now,
            }
        )
    return rows


async def _page(few: tuple[Database, Scope], many: tuple[Database, Scope], given: dict[str, Any]) -> dict[str, Any]:
    took: dict[str, list[float]] = {"few": [], "many": []}
    for _ in range(ROUNDS):
        for name, (database, scope) in (("few", few), ("many", many)):
            query = page_query(scope, ConnectionFilter(**given), None, LIMIT, is_sqlite=database.is_sqlite)
            took[name].append(await database.run(Access.READ, partial(_timed, query=query)))
    milliseconds = {name: 1000 * min(values) for name, values in took.items()}  # what else the machine did left out
    return {**milliseconds, "ratio": milliseconds["many"] / milliseconds["few"]}


def _timed(held: Connection, query: Any) -> float:
    started = time.perf_counter()
    rows = held.execute(query).all()
    assert len(rows) == LIMIT
    return time.perf_counter() - started


def _figures(samples: list[dict[str, Any]]) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    for store in dict.fromkeys(sample["store"] for sample in samples):
        mine = [sample for sample in samples if sample["store"] == store]
        figures[f"{store}: a page of {FEW:,} connections, ms"] = spread([sample["few"] for sample in mine])
        figures[f"{store}: a page of {MANY:,} connections, ms"] = spread([sample["many"] for sample in mine])
        figures[f"{store}: many / few"] = spread([sample["ratio"] for sample in mine])
    return figures
