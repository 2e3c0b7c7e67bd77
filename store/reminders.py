"""Which reminders of an unanswered expiry a workflow that is started from the store goes on with."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import func, select

from everlink.contract import ConnectionStatus, EventType, ReauthReason
from store.connections import connection_ref
from store.database import Database
from store.scope import Scope
from store.tables import TRANSITIONS, Connection
from store.tenants import Tenants


@dataclass(frozen=True)
class ReminderPlan:
    """Days after the expiry, and how many of them have been reminded of."""

    days: list[float]
    reminded: int


class Reminders:
    """The store's side of reminders; it is the workflow that makes them."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._tenants = Tenants(database)

    async def plan(self, row: Connection) -> ReminderPlan | None:
        """None where nobody is reminded: nothing has expired, or there is no application to reconnect."""
        if row.status is not ConnectionStatus.REAUTH_REQUIRED or row.reason == ReauthReason.APPLICATION_DELETED:
            return None
        scope = Scope.of(connection_ref(row))
        days = (await self._tenants.settings(scope)).reminder_days
        latest = select(func.max(TRANSITIONS.c.at)).where(
            TRANSITIONS.c.connection_id == row.id,
            scope.owns(TRANSITIONS),
            TRANSITIONS.c.event == EventType.EXPIRED_REMINDER.value,
            TRANSITIONS.c.at >= row.status_since,
        )
        async with self._database.reading() as connection:
            at = (await connection.execute(latest)).scalar_one_or_none()
        # By its time and not by their number: one may have stood for several.
        return ReminderPlan(
            days, 0 if at is None else sum(row.status_since + timedelta(days=day) <= at for day in days)
        )
