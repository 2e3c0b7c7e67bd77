"""The alarm of an application whose own client the provider refuses: no connection's fault, announced once."""

from __future__ import annotations

from datetime import datetime
from uuid import uuid4

from sqlalchemy import update

from everlink.contract import EventType
from store.database import Database
from store.outbox import Announced, NewEvent, announce, event_head
from store.scope import Scope
from store.tables import APPLICATIONS


class Alarms:
    """Raised and cleared by who speaks with the provider; of many at once, one announces it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def change(self, scope: Scope, slug: str, words: str | None, now: datetime) -> Announced | None:
        """The provider refuses the application's client, or with None accepts it again.

        Answers None where that is known already.
        """
        other = APPLICATIONS.c.alarm.is_(None) if words else APPLICATIONS.c.alarm.is_not(None)
        mine = (APPLICATIONS.c.slug == slug) & scope.owns(APPLICATIONS)
        kind = EventType.APPLICATION_REFUSED if words else EventType.APPLICATION_ACCEPTED
        event_id = str(uuid4())
        event = NewEvent(id=event_id, type=kind, slug=slug, body=event_head(scope, kind, slug, event_id, now))
        async with self._database.writing() as connection:
            values = {"alarm": words, "alarm_at": now if words else None}
            changed = await connection.execute(update(APPLICATIONS).where(mine, other).values(values))
            if changed.rowcount != 1:
                return None
            return await announce(self._database, connection, scope, event, now)
