"""The kinds of columns and constraints that the tables are made of."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    JSON,
    Column,
    DateTime,
    Dialect,
    ForeignKeyConstraint,
    Index,
    LargeBinary,
    String,
    TypeDecorator,
    UniqueConstraint,
    text,
)
from sqlmodel import Field


class UtcDateTime(TypeDecorator[datetime]):
    """Moments go in with a zone and come out as UTC, on SQLite too, which forgets the zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a moment without a time zone")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value


class Word(TypeDecorator[StrEnum]):
    """One of the contract's words, kept as text."""

    impl = String
    cache_ok = True

    def __init__(self, words: type[StrEnum]) -> None:
        super().__init__()
        self.words = words

    def process_bind_param(self, value: StrEnum | str | None, dialect: Dialect) -> str | None:
        return None if value is None else str(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> StrEnum | None:
        return None if value is None else self.words(value)


def word(words: type[StrEnum], *, primary_key: bool = False, **kwargs: Any) -> Any:
    return Field(sa_column=Column(Word(words), nullable=False, primary_key=primary_key), **kwargs)


def moment(*, nullable: bool = False, **kwargs: Any) -> Any:
    return Field(sa_type=UtcDateTime, nullable=nullable, **kwargs)


def json(default: Any) -> Any:
    return Field(default_factory=default, sa_column=Column(JSON, nullable=False))


def sealed() -> Any:
    """A blob that the vault sealed."""
    return Field(default=None, sa_column=Column(LargeBinary, nullable=True))


def belongs_to(table: str, local: str) -> ForeignKeyConstraint:
    """A row and what it belongs to are in the same organization and environment."""
    return ForeignKeyConstraint(
        ["org_id", "environment", local], [f"{table}.org_id", f"{table}.environment", f"{table}.id"]
    )


def addressable() -> UniqueConstraint:
    return UniqueConstraint("org_id", "environment", "id")


def few(name: str, *columns: str, where: str) -> Index:
    """An index of the few rows that wait for something."""
    return Index(name, *columns, sqlite_where=text(where), postgresql_where=text(where))
