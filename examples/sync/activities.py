"""What touches the outside world: the provider, and this product's database."""

from __future__ import annotations

import asyncio
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from temporalio import activity

import everlink

SCHEMA = "CREATE TABLE IF NOT EXISTS contact (id TEXT PRIMARY KEY, name TEXT NOT NULL)"
UPSERT = "INSERT INTO contact VALUES (:id, :name) ON CONFLICT (id) DO UPDATE SET name = excluded.name"


@dataclass
class SyncPageInput:
    connection_id: str
    page: int


@dataclass
class SyncedPage:
    contacts: int
    next_page: int | None  # None: this was the last


class SyncActivities:
    def __init__(self, provider_url: str, database: Path) -> None:
        self._provider_url = provider_url
        self._database = database

    @activity.defn
    async def sync_page(self, input: SyncPageInput) -> SyncedPage:
        async with everlink.http(input.connection_id, base_url=self._provider_url) as provider:
            answer = await provider.get("/api/contacts", params={"page": input.page})
        page = answer.raise_for_status().json()
        await asyncio.to_thread(self._save, page["contacts"])
        return SyncedPage(len(page["contacts"]), page["next_page"])

    def _save(self, contacts: list[dict[str, Any]]) -> None:
        database = sqlite3.connect(self._database)
        with database:
            database.execute(SCHEMA)
            database.executemany(UPSERT, contacts)
        database.close()
