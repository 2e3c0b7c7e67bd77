"""Alembic's entry: runs on the connection that `store.migrate` hands over."""

from __future__ import annotations

from typing import Any, Literal

from alembic import context
from sqlmodel import AutoString, SQLModel

import store.tables  # noqa: F401  registers them in the metadata
from store.columns import UtcDateTime, Word


def render(kind: str, item: Any, _: object) -> str | Literal[False]:
    """Migrations name plain types, so that they outlive the classes of the day."""
    if kind == "type" and isinstance(item, AutoString | Word):
        return "sa.String()"
    if kind == "type" and isinstance(item, UtcDateTime):
        return "sa.DateTime(timezone=True)"
    return False


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=SQLModel.metadata,
    render_as_batch=True,
    render_item=render,
)
with context.begin_transaction():
    context.run_migrations()
