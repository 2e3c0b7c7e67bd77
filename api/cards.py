"""What the hosted page lists: the applications of one linked account, each a card."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from api.lifecycle import is_identified
from api.services import Services
from everlink.contract import AuthType, ConnectionStatus
from providers.entry import CatalogEntry
from providers.icons import letter
from store.connect_sessions import ConnectSession
from store.tables import Connection


@dataclass(frozen=True)
class Account:
    """One account of the customer's at an application."""

    connection_id: str
    name: str | None
    reason: str  # why it has to be reconnected, where it has to
    since: datetime


@dataclass(frozen=True)
class Card:
    """An account that has to be reconnected, or an application with those that are well."""

    id: str
    entry: CatalogEntry
    accounts: tuple[Account, ...]

    @property
    def by_consent(self) -> bool:
        return self.entry.auth_type is AuthType.OAUTH2

    @property
    def icon(self) -> str:
        """A picture that comes with the page: one at an address would tell another host who reads this."""
        return self.entry.icon if self.entry.icon.startswith("data:") else letter(self.entry.name)


@dataclass(frozen=True)
class Cards:
    broken: tuple[Card, ...]
    connected: tuple[Card, ...]
    available: tuple[Card, ...]

    def has(self, card_id: str) -> bool:
        return any(card.id == card_id for card in (*self.broken, *self.connected, *self.available))


def shows(session: ConnectSession, slug: str) -> bool:
    """Whether the product wants this application on the page."""
    return not session.wishes.applications or slug in session.wishes.applications


async def cards_of(made: Services, session: ConnectSession) -> Cards:
    """What the session's page lists, those first that have been broken longest."""
    rows = await made.connections.living(session.scope, [session.linked_account_id])
    broken, connected, available = [], [], []
    for application in await made.tenants.applications(session.scope):
        entry = await made.entry(session.scope, application.slug)
        if entry is None or not shows(session, entry.slug):
            continue
        mine = [row for row in rows if row.slug == entry.slug]
        dead = [row for row in mine if row.status is ConnectionStatus.REAUTH_REQUIRED]
        well = [row for row in mine if row.status is ConnectionStatus.ACTIVE]
        broken += [Card(row.id, entry, (_account(row),)) for row in dead]
        if well:
            connected.append(Card(entry.slug, entry, tuple(_account(row) for row in well)))
        elif not dead:
            available.append(Card(entry.slug, entry, ()))
    return Cards(
        tuple(sorted(broken, key=lambda card: card.accounts[0].since)),
        tuple(sorted(connected, key=_name)),
        tuple(sorted(available, key=_name)),
    )


def _name(card: Card) -> str:
    return card.entry.name.casefold()


def _account(row: Connection) -> Account:
    name = (row.display_name or row.identifier) if is_identified(row) else None
    return Account(row.id, name, row.reason or "unknown", row.status_since)
