"""What has ended is found by an index: those who make something new delete it, and the writer waits for them."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from store.database import Database


@pytest.mark.parametrize(
    ("table", "column"),
    [
        ("connect_session", "expires_at"),
        ("connect_ticket", "expires_at"),
        ("idempotent_answer", "expires_at"),
        ("oauth_state", "expires_at"),
        ("session_token", "refresh_expires_at"),
    ],
)
async def test_what_has_ended_is_found_by_an_index(sqlite_url: str, table: str, column: str) -> None:
    database = Database(sqlite_url)
    async with database.reading() as reading:
        plan = await reading.execute(text(f"EXPLAIN QUERY PLAN DELETE FROM {table} WHERE {column} <= '2026-01-01'"))
        [first, *_] = plan.all()
    await database.close()
    assert f"ix_{table}_{column}" in first.detail
