"""Answers as providers give them, and the entries by which they are judged."""

from __future__ import annotations

import json
from typing import Any

import httpx

from providers.catalog import Catalog
from providers.entry import CatalogEntry
from providers.http import Answer

CATALOG = Catalog.load()


def entry_of(slug: str) -> CatalogEntry:
    entry = CATALOG.get(slug)
    assert entry is not None
    return entry


def answer(status: int, body: Any) -> Answer:
    """Of JSON, or of bytes as they are."""
    return Answer(status, httpx.Headers(), body if isinstance(body, bytes) else json.dumps(body).encode())
