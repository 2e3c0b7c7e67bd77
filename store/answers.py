"""Answers to requests that carry an idempotency key: claimed by one request, kept, and given again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Any
from uuid import uuid4

from sqlalchemy import ColumnElement, and_, delete, select, tuple_, update

from store.database import Database
from store.scope import Scope
from store.tables import IDEMPOTENT_ANSWERS

LEASE = timedelta(seconds=90)  # longer than any handler works: a claim that is older was left by a crash
KEPT_FOR = timedelta(hours=24)
SWEPT_AT_ONCE = 100


TENANT = "tenant"  # owns what was answered to any of its keys


def browsers_of(linked_account_id: str) -> str:
    """Who owns what was answered to the session tokens of an account."""
    return f"account:{linked_account_id}"


@dataclass(frozen=True)
class Place:
    """Where an answer is kept: nobody but this owner of this tenant finds it under this key."""

    scope: Scope
    owner: str
    key: str

    @property
    def id(self) -> str:
        return f"{self.owner}/{self.key}"


@dataclass(frozen=True)
class Claim:
    """The right, and the duty, to answer."""

    place: Place
    id: str


@dataclass(frozen=True)
class KeptAnswer:
    status: int
    sealed: bytes


class Refused(Enum):
    IN_USE = auto()  # the first request is still under way
    ANOTHER_REQUEST = auto()  # the key belongs to a request that was not this one


class Answers:
    """The store's side of idempotency keys."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def claim(
        self, place: Place, request_sha256: str, now: datetime, lease: timedelta = LEASE
    ) -> Claim | KeptAnswer | Refused:
        """Claim a key for a request, or learn what became of it. Of any number that ask at once, one gets the claim."""
        mine = Claim(place, uuid4().hex)
        values = {
            "request_sha256": request_sha256,
            "claim": mine.id,
            "status": None,
            "sealed": None,
            "started_at": now,
            "expires_at": now + KEPT_FOR,
        }
        row = {**place.scope.columns, "owner": place.owner, "key": place.key, **values}
        async with self._database.writing() as connection:
            await connection.execute(_sweep(now))
            inserted = await connection.execute(self._database.insert_or_ignore(IDEMPOTENT_ANSWERS, row))
            if inserted.rowcount == 1:
                return mine
            found = (await connection.execute(select(IDEMPOTENT_ANSWERS).where(_at(place)))).one_or_none()
            if found is None:
                return Refused.IN_USE  # it was given up a moment ago: the next try gets it
            if found.expires_at > now:
                if found.request_sha256 != request_sha256:
                    return Refused.ANOTHER_REQUEST
                if found.status is not None:
                    return KeptAnswer(found.status, found.sealed)
                if found.started_at + lease > now:
                    return Refused.IN_USE
            left = and_(_at(place), IDEMPOTENT_ANSWERS.c.claim == found.claim)
            taken = await connection.execute(update(IDEMPOTENT_ANSWERS).where(left).values(values))
            return mine if taken.rowcount == 1 else Refused.IN_USE

    async def keep(self, claim: Claim, status: int, sealed: bytes) -> None:
        """Keep the answer, unless the claim has passed to another request meanwhile."""
        async with self._database.writing() as connection:
            await connection.execute(
                update(IDEMPOTENT_ANSWERS).where(_held(claim)).values(status=status, sealed=sealed)
            )

    async def give_up(self, claim: Claim) -> None:
        """Nothing was done that must not be done again: the key is free."""
        async with self._database.writing() as connection:
            await connection.execute(delete(IDEMPOTENT_ANSWERS).where(_held(claim)))


def _at(place: Place) -> ColumnElement[bool]:
    columns = IDEMPOTENT_ANSWERS.c
    return and_(place.scope.owns(IDEMPOTENT_ANSWERS), columns.owner == place.owner, columns.key == place.key)


def _held(claim: Claim) -> ColumnElement[bool]:
    return and_(_at(claim.place), IDEMPOTENT_ANSWERS.c.claim == claim.id, IDEMPOTENT_ANSWERS.c.status.is_(None))


def _sweep(now: datetime) -> Any:
    """Removes answers that have had their time, a few at each claim; rows that another sweep has are left to it."""
    columns = IDEMPOTENT_ANSWERS.primary_key.columns
    old = select(*columns).where(IDEMPOTENT_ANSWERS.c.expires_at <= now)
    return delete(IDEMPOTENT_ANSWERS).where(
        tuple_(*columns).in_(old.limit(SWEPT_AT_ONCE).with_for_update(skip_locked=True))
    )
