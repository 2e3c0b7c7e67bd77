"""Credentials and the intents to refresh them. Core statements only: this is the hot path."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, Executable, bindparam, delete, exists, func, literal, select, update
from sqlalchemy.exc import IntegrityError

from everlink.contract import ConnectionStatus
from store.connection_keys import Account, AccountTaken, DifferentAccount, replace_keys, switch_account
from store.database import Access, Database
from store.scope import Scope
from store.tables import APPLICATIONS, CONNECTIONS, CREDENTIALS, REFRESH_INTENTS
from store.tenants import refuse_removed


class ConnectionEnded(Exception):
    """The connection is disconnected, and its id never lives again: nothing more is kept for it."""


class IntentOutcome(StrEnum):
    """How a token request ended, as far as this side knows."""

    NOT_SENT = "not_sent"
    ANSWERED = "answered"
    UNKNOWN = "unknown"  # it may have rotated the grant


@dataclass(frozen=True)
class StoredCredential:
    """A credential row; the secret is still sealed."""

    generation: int
    sealed: bytes
    renewable: bool
    expires_at: datetime | None
    ends_at: datetime | None = None  # when the grant itself ends

    def seconds_left(self, now: datetime) -> float | None:
        """Until expiry, at least one; None where it does not expire."""
        return None if self.expires_at is None else max(1.0, (self.expires_at - now).total_seconds())

    def ends_in(self, now: datetime) -> float | None:
        """Seconds until the grant itself ends; None where no end is known."""
        return None if self.ends_at is None else (self.ends_at - now).total_seconds()

    def left(self, now: datetime) -> dict[str, Any]:
        """What the row says of the credential's lifetimes; the catalog entry adds the application's part."""
        return {
            "renewable": self.renewable,
            "expires_in": self.seconds_left(now),
            "ends_in": self.ends_in(now),
        }


@dataclass(frozen=True)
class StoredClient:
    """The organization's client at a provider; its secret is still sealed."""

    application_id: str
    client_id: str | None
    client_secret: bytes | None
    alarm: str | None

    def is_same(self, other: StoredClient | None) -> bool:
        """Whether nobody has changed it in between."""
        return other is not None and (self.client_id, self.client_secret) == (other.client_id, other.client_secret)


@dataclass(frozen=True)
class Intent:
    """The right to send one token request for this generation."""

    id: str
    in_doubt: bool  # an earlier request of this generation may have rotated the grant
    lease_until: datetime


@dataclass(frozen=True)
class Leased:
    """Another request of this generation has not come back and may still."""

    seconds_left: float


# The statements of the hot path, built once.
_IN_SCOPE = (CREDENTIALS.c.org_id == bindparam("org_id")) & (CREDENTIALS.c.environment == bindparam("environment"))
_CREDENTIAL = [CREDENTIALS.c[name] for name in ("generation", "sealed", "renewable", "expires_at", "ends_at")]
_CLIENT = [APPLICATIONS.c[name] for name in ("id", "client_id", "client_secret", "alarm")]
_READ = select(*_CREDENTIAL).where(CREDENTIALS.c.connection_id == bindparam("connection_id"), _IN_SCOPE)
_READ_CLIENT = select(*_CLIENT).where(
    APPLICATIONS.c.slug == bindparam("slug"),
    APPLICATIONS.c.org_id == bindparam("org_id"),
    APPLICATIONS.c.environment == bindparam("environment"),
)
# Read only where the provider has refused the present secret.
_READ_FORMER_SECRET = select(APPLICATIONS.c.previous_client_secret).where(
    APPLICATIONS.c.id == bindparam("application_id"),
    APPLICATIONS.c.org_id == bindparam("org_id"),
    APPLICATIONS.c.environment == bindparam("environment"),
    APPLICATIONS.c.client_secret == bindparam("client_secret"),
    APPLICATIONS.c.previous_until > bindparam("now", type_=APPLICATIONS.c.previous_until.type),
)
_READ_BOTH = (
    select(*_CREDENTIAL, *_CLIENT)
    .outerjoin_from(
        CREDENTIALS,
        APPLICATIONS,
        (APPLICATIONS.c.slug == bindparam("slug"))
        & APPLICATIONS.c.removed_at.is_(None)
        & (APPLICATIONS.c.org_id == CREDENTIALS.c.org_id)
        & (APPLICATIONS.c.environment == CREDENTIALS.c.environment),
    )
    .where(CREDENTIALS.c.connection_id == bindparam("connection_id"), _IN_SCOPE)
)
_SWAP = (
    update(CREDENTIALS)
    .where(
        CREDENTIALS.c.connection_id == bindparam("expected_id"),
        CREDENTIALS.c.generation == bindparam("expected_generation"),
    )
    .values({name: bindparam(name) for name in (*(column.name for column in _CREDENTIAL), "updated_at")})
)
# Intents only matter while their generation stands.
_FORGET_INTENTS = delete(REFRESH_INTENTS).where(
    REFRESH_INTENTS.c.connection_id == bindparam("connection_id"),
    REFRESH_INTENTS.c.generation <= bindparam("generation"),
)

# The same two in one statement, which is a transaction and a round trip, where the database knows such.
_MOVED = _SWAP.returning(CREDENTIALS.c.connection_id).cte("moved")
_SWAP_AND_FORGET = (
    select(func.count())
    .select_from(_MOVED)
    .add_cte(
        delete(REFRESH_INTENTS)
        .where(
            REFRESH_INTENTS.c.connection_id.in_(select(_MOVED.c.connection_id)),
            REFRESH_INTENTS.c.generation <= bindparam("expected_generation"),
        )
        .cte("forgotten")
    )
)


def _first_intent(database: Database) -> Executable:
    """The intent of a generation that nobody has tried yet, in one statement.

    It locks the credential's row as the longer way does, and writes nothing where there is any earlier intent,
    or where of two at once another was first.
    """
    columns = ("id", "connection_id", "generation", "started_at", "lease_until", "attempt")
    given = [bindparam(name, type_=REFRESH_INTENTS.c[name].type) for name in columns[:-1]]
    tried = exists().where(
        REFRESH_INTENTS.c.connection_id == CREDENTIALS.c.connection_id,
        REFRESH_INTENTS.c.generation == CREDENTIALS.c.generation,
    )
    standing = (
        select(*given, literal(1))
        .select_from(CREDENTIALS)
        .where(
            CREDENTIALS.c.connection_id == bindparam("connection_id"),
            CREDENTIALS.c.generation == bindparam("generation"),
            ~tried,
        )
        .with_for_update(of=CREDENTIALS)
    )
    statement: Executable = database.insert(REFRESH_INTENTS).from_select(columns, standing).on_conflict_do_nothing()
    return statement


class Credentials:
    """Reads and compare-and-swap writes of credentials."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._first_intent = _first_intent(database)

    async def read(self, scope: Scope, connection_id: str) -> StoredCredential | None:
        values = {**scope.columns, "connection_id": connection_id}
        async with self._database.reading() as connection:
            row = (await connection.execute(_READ, values)).one_or_none()
        return StoredCredential(*row) if row is not None else None

    async def read_client(self, scope: Scope, slug: str) -> StoredClient | None:
        async with self._database.reading() as connection:
            row = (await connection.execute(_READ_CLIENT, {**scope.columns, "slug": slug})).one_or_none()
        return StoredClient(*row) if row is not None else None

    async def former_secret(
        self, scope: Scope, application_id: str, client_secret: bytes | None, now: datetime
    ) -> bytes | None:
        """The secret that this one has replaced, sealed, for as long as it may be tried."""
        values = {**scope.columns, "application_id": application_id, "client_secret": client_secret, "now": now}
        async with self._database.reading() as connection:
            former: bytes | None = (await connection.execute(_READ_FORMER_SECRET, values)).scalar_one_or_none()
        return former

    async def read_both(
        self, scope: Scope, connection_id: str, slug: str
    ) -> tuple[StoredCredential | None, StoredClient | None]:
        """A credential and the client that it is refreshed with, in one statement."""
        values = {**scope.columns, "connection_id": connection_id, "slug": slug}
        row = await self._database.run(Access.READ, lambda held: held.execute(_READ_BOTH, values).one_or_none())
        if row is None:
            return None, None
        return StoredCredential(*row[:5]), None if row[5] is None else StoredClient(*row[5:])

    async def begin(
        self, connection_id: str, generation: int, now: datetime, lease: timedelta
    ) -> Intent | Leased | None:
        """Write the intent to refresh this generation, which also proves that the store can be written.

        Returns None where the generation has moved; `Leased` where an unfinished intent's lease still runs.
        """
        first = Intent(id=str(uuid4()), in_doubt=False, lease_until=now + lease)
        values = {
            "id": first.id,
            "connection_id": connection_id,
            "generation": generation,
            "started_at": now,
            "lease_until": first.lease_until,
        }

        def insert(connection: Connection) -> bool:
            return connection.execute(self._first_intent, values).rowcount == 1

        if await self._database.run(Access.WRITE_AT_ONCE, insert):
            return first
        return await self._database.run(
            Access.WRITE, lambda connection: _another(connection, connection_id, generation, now, lease)
        )

    async def close(self, intent: Intent, outcome: IntentOutcome) -> None:
        """Record how the request ended; an outcome stands once given."""
        await self._database.run(Access.WRITE_AT_ONCE, lambda connection: _close(connection, intent.id, outcome))

    async def swap(
        self,
        connection_id: str,
        expected: int,
        credential: StoredCredential,
        now: datetime,
        intent: Intent | None = None,
    ) -> bool:
        """Store a refreshed credential if the generation is still the expected one; forget its intents with it."""
        values = {
            "expected_id": connection_id,
            "expected_generation": expected,
            **asdict(credential),
            "updated_at": now,
        }

        def move(connection: Connection) -> bool:
            if self._database.is_sqlite:
                moved = connection.execute(_SWAP, values).rowcount == 1
                if moved:
                    connection.execute(_FORGET_INTENTS, {"connection_id": connection_id, "generation": expected})
                return moved
            return connection.execute(_SWAP_AND_FORGET, values).scalar_one() == 1

        moved = await self._database.run(Access.WRITE_AT_ONCE, move)
        if not moved and intent is not None:
            await self.close(intent, IntentOutcome.ANSWERED)
        return moved

    async def grant(
        self,
        scope: Scope,
        connection_id: str,
        sealed: bytes,
        *,
        renewable: bool,
        expires_at: datetime | None,
        now: datetime,
        ends_at: datetime | None = None,
        account: Account | None = None,
    ) -> int:
        """Store what a customer has just granted, over whatever was there; answers its generation.

        With it go the keys of its account, and where that may be another than before, whose connection it is.

        The connection's row is locked, so that its end either comes first and is seen here, or waits; purging
        follows the end, and so finds what was stored before it.

        Raises:
            ConnectionEnded: nothing was stored.
            DifferentAccount: the same; the connection is another account's.
            AccountTaken: the same; it would be the second connection of that account.
            RemovalUnderWay: of its application or its linked account; nothing was stored.
        """
        values = {
            "sealed": sealed,
            "renewable": renewable,
            "expires_at": expires_at,
            "ends_at": ends_at,
            "updated_at": now,
        }
        following = CREDENTIALS.c.generation + 1
        statement = (
            self._database.insert(CREDENTIALS)
            .values(connection_id=connection_id, **scope.columns, generation=1, unconfirmed_generation=1, **values)
            .on_conflict_do_update(
                index_elements=["connection_id"],
                set_={"generation": following, "unconfirmed_generation": following, **values},
                where=scope.owns(CREDENTIALS),
            )
            .returning(CREDENTIALS.c.generation)
        )
        needed = ("status", "slug", "linked_account_id", "identifier")
        held = select(*(CONNECTIONS.c[name] for name in needed)).where(
            CONNECTIONS.c.id == connection_id, scope.owns(CONNECTIONS)
        )
        may_switch = account is not None and account.switch
        try:
            async with self._database.writing() as connection:
                row = (await connection.execute(held.with_for_update(read=not may_switch))).one()
                if row.status is ConnectionStatus.DISCONNECTED:
                    raise ConnectionEnded("the connection has ended")
                await refuse_removed(connection, scope, row.slug, row.linked_account_id)
                if account is not None and account.identifier != row.identifier:
                    if not may_switch:
                        raise DifferentAccount("the grant opens another account")
                    await switch_account(connection, scope, connection_id, account)
                generation = int((await connection.execute(statement)).scalar_one())
                if account is not None:  # behind the credential, whose row lets one of two at once go first
                    await replace_keys(connection, scope, connection_id, row.slug, account.keys)
                return generation
        except IntegrityError:
            if not may_switch:
                raise
            raise AccountTaken("another connection has that account") from None

    async def confirm(self, scope: Scope, connection_id: str, generation: int) -> None:
        """The workflow knows of the grant of this generation; a newer one stays unconfirmed."""
        async with self._database.writing() as connection:
            await connection.execute(
                update(CREDENTIALS)
                .where(
                    CREDENTIALS.c.connection_id == connection_id,
                    CREDENTIALS.c.unconfirmed_generation == generation,
                    scope.owns(CREDENTIALS),
                )
                .values(unconfirmed_generation=None)
            )

    async def purge(self, scope: Scope, connection_id: str) -> None:
        """Forget the credential for good."""
        mine = (CREDENTIALS.c.connection_id == connection_id) & scope.owns(CREDENTIALS)
        async with self._database.writing() as connection:
            result = await connection.execute(delete(CREDENTIALS).where(mine))
            if result.rowcount == 1:
                await connection.execute(
                    delete(REFRESH_INTENTS).where(REFRESH_INTENTS.c.connection_id == connection_id)
                )


def _close(connection: Connection, intent_id: str, outcome: IntentOutcome) -> None:
    connection.execute(
        update(REFRESH_INTENTS)
        .where(REFRESH_INTENTS.c.id == intent_id, REFRESH_INTENTS.c.outcome.is_(None))
        .values(outcome=outcome.value)
    )


def _another(
    connection: Connection, connection_id: str, generation: int, now: datetime, lease: timedelta
) -> Intent | Leased | None:
    """The intent of a generation that may have been tried before."""
    # The row is locked, so that of two processes one sees the other's intent.
    held = select(CREDENTIALS.c.generation).where(CREDENTIALS.c.connection_id == connection_id)
    if connection.execute(held.with_for_update()).scalar_one_or_none() != generation:
        return None
    earlier = connection.execute(
        select(REFRESH_INTENTS.c.attempt, REFRESH_INTENTS.c.outcome, REFRESH_INTENTS.c.lease_until)
        .where(
            REFRESH_INTENTS.c.connection_id == connection_id,
            REFRESH_INTENTS.c.generation == generation,
        )
        .order_by(REFRESH_INTENTS.c.attempt)
    ).all()
    unfinished = [row.lease_until for row in earlier if row.outcome is None and row.lease_until > now]
    if unfinished:
        return Leased((max(unfinished) - now).total_seconds())
    intent = Intent(
        id=str(uuid4()),
        in_doubt=any(row.outcome in (None, IntentOutcome.UNKNOWN) for row in earlier),
        lease_until=now + lease,
    )
    connection.execute(
        REFRESH_INTENTS.insert().values(
            id=intent.id,
            connection_id=connection_id,
            generation=generation,
            attempt=earlier[-1].attempt + 1 if earlier else 1,
            started_at=now,
            lease_until=intent.lease_until,
        )
    )
    return intent
