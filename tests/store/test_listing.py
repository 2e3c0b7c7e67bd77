"""A page of any combination of filters is read from one index, in order, and not a row more than it holds."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from itertools import product
from typing import Any

from sqlalchemy import Connection as Held
from sqlalchemy import bindparam, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql import asyncpg

from everlink.contract import ConnectionStatus, Environment, Health, ReauthReason
from store.connections import Connections
from store.database import Access, Database
from store.listing import ConnectionFilter, counts_query, living_query, page_query
from store.scope import Scope
from store.tables import CONNECTIONS
from store.tenants import Tenants
from tests.store.conftest import NOW

AT_ONCE = 10_000  # rows by one statement
LIMIT = 50
# Skewed as in life: nearly all are well, most of them belong to few accounts and applications, a tenth is another's.
FILL = """
INSERT INTO connection (id, org_id, environment, linked_account_id, slug, identifier, auth_type, status, health,
                        reason, status_since, sequence, created_at)
SELECT 'con_' || {scattered}, CASE WHEN n % 10 = 9 THEN :other ELSE :mine END, 'test',
       CASE WHEN n % 7 < 5 THEN 'acme' ELSE 'account' || (n % 97) END,
       CASE WHEN n % 11 < 8 THEN 'slack' ELSE 'app' || (n % 13) END, 'identifier' || n, 'oauth2',
       CASE WHEN n % 101 = 0 THEN 'reauth_required' WHEN n % 103 = 0 THEN 'pending'
            WHEN n % 29 = 0 THEN 'disconnected' ELSE 'active' END,
       CASE WHEN n % 31 = 0 THEN 'degraded' ELSE 'ok' END,
       CASE WHEN n % 101 <> 0 THEN NULL WHEN n % 5 = 0 THEN 'app_uninstalled' ELSE 'access_revoked' END,
       :now, 1, :now
FROM {numbers}
"""
SQLITE = (
    "(WITH RECURSIVE s(n) AS (SELECT :first UNION ALL SELECT n + 1 FROM s WHERE n < :last) SELECT n FROM s)",
    "printf('%032x', (n * 7919) % 1000003)",
)
POSTGRESQL = ("generate_series(CAST(:first AS int), CAST(:last AS int)) AS n", "md5(n::text)")


async def fill(database: Database, count: int) -> list[Scope]:
    """So many connections of two tenants, nine of ten the first one's."""
    tenants = Tenants(database)
    scopes = [Scope(await tenants.add_organization(name, NOW), Environment.TEST) for name in ("Acme", "Other")]
    for scope in scopes:
        for account in ("acme", *(f"account{number}" for number in range(97))):
            await tenants.save_linked_account(scope, account, {}, NOW)
    numbers, scattered = SQLITE if database.is_sqlite else POSTGRESQL
    values = {"mine": scopes[0].org_id, "other": scopes[1].org_id, "now": NOW}

    statement = text(FILL.format(numbers=numbers, scattered=scattered))
    statement = statement.bindparams(bindparam("now", type_=CONNECTIONS.c.created_at.type))
    for first in range(0, count, AT_ONCE):
        some = {**values, "first": first, "last": min(first + AT_ONCE, count) - 1}
        await database.run(Access.WRITE, lambda held, some=some: held.execute(statement, some))
    if not database.is_sqlite:  # as autovacuum does, a minute later
        await database.run(Access.READ, lambda held: held.execute(text("VACUUM ANALYZE connection")))
    return scopes


async def test_index_serves_filter_and_order_of_every_combination(database: Database) -> None:
    scope, _ = await fill(database, 100_000)
    after = (await Connections(database).page(scope, ConnectionFilter(), limit=LIMIT))[-1].id
    seen = set()
    for wanted in combinations():
        for position in (None, after):
            query = page_query(scope, wanted, position, LIMIT, is_sqlite=database.is_sqlite)
            if query is None:
                assert wanted.reason and wanted.status not in (None, ConnectionStatus.REAUTH_REQUIRED)
                continue
            rows = await Connections(database).page(scope, wanted, after=position, limit=LIMIT)
            assert [row.id for row in rows] == sorted(row.id for row in rows)
            seen.add(len(rows))
            check = partial(check_sqlite if database.is_sqlite else check_postgresql, query=query, wanted=wanted)
            await database.run(Access.READ, check)
    assert {0, LIMIT} < seen  # full pages, short ones, and none


async def test_pages_of_every_combination_hold_what_a_plain_look_finds(database: Database) -> None:
    scope, _ = await fill(database, 2000)
    connections = Connections(database)
    every = [row async for row in walk(connections, scope, ConnectionFilter(), 1000)]
    assert len(every) == 1800 == len({row.id for row in every})
    for wanted in combinations():
        expected = [row.id for row in every if matches(row, wanted)]
        assert [row.id async for row in walk(connections, scope, wanted, 1000)] == expected, wanted
        of_all = ConnectionFilter(slug=wanted.slug, linked_account_id=wanted.linked_account_id)
        counts = await connections.counts(scope, of_all)
        if wanted.reason is None and wanted.health is None and wanted.status is not None:
            assert getattr(counts, wanted.status.value) == len(expected)
        if wanted.reason is None and wanted.status is None and wanted.health is Health.DEGRADED:
            assert counts.degraded == len(expected)


async def test_counting_reads_an_index_only(database: Database) -> None:
    _, scope = await fill(database, 20_000)
    for slug, account in product((None, "slack"), (None, "acme")):
        query = counts_query(scope, ConnectionFilter(slug=slug, linked_account_id=account))
        how = "QUERY PLAN" if database.is_sqlite else ""
        plan = await database.run(Access.READ, lambda held, q=query, h=how: str(explain(held, q, h)))
        assert "USING COVERING INDEX" in plan or "Index Only Scan" in plan, plan


async def test_what_few_accounts_have_is_found_by_their_ids(database: Database) -> None:
    scope, _ = await fill(database, 20_000)
    for slug in (None, "slack"):
        query = living_query(scope, ["account3", "account5"], slug)
        how = "QUERY PLAN" if database.is_sqlite else ""
        plan = await database.run(Access.READ, lambda held, q=query, h=how: str(explain(held, q, h)))
        in_index = r"linked_account_id=\?" if database.is_sqlite else r"Index Cond: [^,]*linked_account_id"
        assert re.search(in_index, plan) and "Seq Scan" not in plan, plan
        found = await Connections(database).living(scope, ["account3", "account5"], slug)
        assert found and [row.id for row in found] == sorted(row.id for row in found)
        assert {row.linked_account_id for row in found} == {"account3", "account5"}
        assert ConnectionStatus.DISCONNECTED not in {row.status for row in found}


def combinations() -> Iterator[ConnectionFilter]:
    """Every combination, with words that many rows have, few, and none."""
    values: dict[str, tuple[Any, ...]] = {
        "status": (None, ConnectionStatus.ACTIVE, ConnectionStatus.REAUTH_REQUIRED),
        "reason": (None, ReauthReason.ACCESS_REVOKED, ReauthReason.CREDENTIALS_INVALID),
        "health": (None, Health.OK, Health.DEGRADED),
        "slug": (None, "slack", "app3"),
        "linked_account_id": (None, "acme", "nobody"),
    }
    for chosen in product(*values.values()):
        yield ConnectionFilter(**dict(zip(values, chosen, strict=True)))


def matches(row: Any, wanted: ConnectionFilter) -> bool:
    names = ("status", "reason", "health", "slug", "linked_account_id")
    return all(getattr(wanted, name) in (None, getattr(row, name)) for name in names)


async def walk(connections: Connections, scope: Scope, wanted: ConnectionFilter, limit: int) -> Any:
    after = None
    while page := await connections.page(scope, wanted, after=after, limit=limit):
        for row in page:
            yield row
        after = page[-1].id


def check_sqlite(held: Held, query: Any, wanted: ConnectionFilter) -> None:
    """Each table access is a search in an index whose first columns are all that must be equal, the id the next."""
    plan = [row.detail for row in explain(held, query, "QUERY PLAN")]
    searches = [line for line in plan if line.startswith(("SEARCH", "SCAN"))]
    assert searches and not any("TEMP B-TREE" in line for line in plan), plan
    given = {name for name in ("slug", "linked_account_id", "reason") if getattr(wanted, name) is not None}
    for line in searches:
        assert line.startswith("SEARCH connection USING INDEX"), plan
        equal = set(re.findall(r"(\w+)=\?", line))
        whole = given | ({"health"} if wanted.reason else {"status", "health"})
        assert equal - {"org_id", "environment"} == (set() if wanted == ConnectionFilter() else whole), plan


def check_postgresql(held: Held, query: Any, wanted: ConnectionFilter) -> None:
    """No sort, no whole table, and no row is read that the page does not hold (but one waits in each branch)."""
    compiled = query.compile(dialect=asyncpg.dialect())
    values = ", ".join(f"'{compiled.params[name]}'" for name in compiled.positiontup)
    held.exec_driver_sql(f"PREPARE page AS {compiled}")
    for plan_is_for in ("custom", "generic"):  # these values, or any: PostgreSQL chooses after some times
        held.exec_driver_sql(f"SET plan_cache_mode = force_{plan_is_for}_plan")
        [found] = held.exec_driver_sql(f"EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE page ({values})").one()
        nodes = list(walk_plan(found[0]["Plan"]))
        kinds = {node["Node Type"] for node in nodes}
        assert kinds <= {"Limit", "Merge Append", "Append", "Result", "Index Scan"}, (wanted, found)
        reads = [node for node in nodes if node["Node Type"] == "Index Scan"]
        read = sum(node["Actual Rows"] * node["Actual Loops"] + node.get("Rows Removed by Filter", 0) for node in reads)
        assert read <= LIMIT + len(reads), (wanted, found)
    held.exec_driver_sql("DEALLOCATE page")


def walk_plan(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for child in node.get("Plans", []):
        yield from walk_plan(child)


def explain(held: Held, query: Any, how: str) -> Any:
    dialect = sqlite.dialect() if held.dialect.name == "sqlite" else postgresql.dialect()
    statement = query.compile(dialect=dialect, compile_kwargs={"literal_binds": True})
    return held.execute(text(f"EXPLAIN {how} {str(statement).replace(':', chr(92) + ':')}")).all()
