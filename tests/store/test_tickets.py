"""A link is good for a while, and the state of a visit once, for the browser that left with it."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import func, select

from store.database import Database
from store.scope import Scope
from store.tables import CONNECT_TICKETS, OAUTH_STATES
from store.tickets import STATE_LIFETIME, TICKET_LIFETIME, Ticket, Tickets, new_ticket_id
from tests.store.conftest import NOW

SECOND = timedelta(seconds=1)


def new(scope: Scope) -> Ticket:
    return Ticket(new_ticket_id(), scope, "acme", "sandbox", None)


@pytest.fixture
def tickets(database: Database) -> Tickets:
    return Tickets(database)


@pytest.fixture
async def ticket(tickets: Tickets, scope: Scope) -> Ticket:
    """One whose browser has left with the state `state`."""
    opened = await tickets.open((await tickets.issue(new(scope), NOW)).secret, NOW)
    assert opened is not None
    await tickets.depart(opened, "state", "browser", b"verifier", NOW)
    return opened


async def test_link_says_whose_it_is_and_what_for(tickets: Tickets, scope: Scope, ticket: Ticket) -> None:
    assert ticket == Ticket(ticket.id, scope, "acme", "sandbox", None, used=False)


async def test_link_ends_with_its_lifetime(tickets: Tickets, scope: Scope) -> None:
    secret = (await tickets.issue(new(scope), NOW)).secret
    assert await tickets.open(secret, NOW + TICKET_LIFETIME - SECOND) is not None
    assert await tickets.open(secret, NOW + TICKET_LIFETIME) is None


async def test_anything_but_the_secret_opens_nothing(tickets: Tickets, scope: Scope, ticket: Ticket) -> None:
    secret = (await tickets.issue(new(scope), NOW)).secret
    for wrong in ("", secret[:-1], secret + "x", secret.swapcase(), ticket.id, "%", "\0"):
        assert await tickets.open(wrong, NOW) is None


async def test_used_link_says_so(tickets: Tickets, scope: Scope) -> None:
    secret = (await tickets.issue(new(scope), NOW)).secret
    opened = await tickets.open(secret, NOW)
    assert opened is not None
    await tickets.use(opened, "con_1", NOW)
    again = await tickets.open(secret, NOW)
    assert again is not None and again.used


async def test_what_came_of_a_link_is_told_to_its_account_alone(tickets: Tickets, scope: Scope, ticket: Ticket) -> None:
    async def told() -> tuple[str | None, str | None]:
        attempt = await tickets.attempt(scope, "acme", ticket.id)
        assert attempt is not None and attempt.expires_at == NOW + TICKET_LIFETIME
        return attempt.connected_id, attempt.error_code

    assert await told() == (None, None)
    await tickets.fail(ticket, "access_denied")
    assert await told() == (None, "access_denied")
    await tickets.use(ticket, "con_1", NOW)
    assert await told() == ("con_1", None)
    await tickets.fail(ticket, "late")  # of another tab, which changes nothing any more
    assert await told() == ("con_1", None)
    assert await tickets.attempt(scope, "other", ticket.id) is None
    assert await tickets.attempt(Scope("other", scope.environment), "acme", ticket.id) is None


async def test_state_brings_its_own_browser_back_once(tickets: Tickets, ticket: Ticket) -> None:
    visit = await tickets.arrive("state", "browser", NOW)
    assert visit is not None and (visit.ticket, visit.sealed_verifier) == (ticket, b"verifier")
    assert await tickets.arrive("state", "browser", NOW) is None


async def test_of_many_arrivals_at_once_one_is_let_in(tickets: Tickets, ticket: Ticket) -> None:
    visits = await asyncio.gather(*(tickets.arrive("state", "browser", NOW) for _ in range(8)))
    assert sum(visit is not None for visit in visits) == 1


async def test_another_browser_is_refused_and_does_not_spoil_the_visit(tickets: Tickets, ticket: Ticket) -> None:
    assert await tickets.arrive("state", "another browser", NOW) is None
    assert await tickets.arrive("state", "browser", NOW) is not None


async def test_state_ends_with_its_lifetime(tickets: Tickets, ticket: Ticket) -> None:
    assert await tickets.arrive("state", "browser", NOW + STATE_LIFETIME) is None
    assert await tickets.arrive("state", "browser", NOW + STATE_LIFETIME - SECOND) is not None


@pytest.mark.parametrize("state", ["", "STATE", "state ", "unknown"])
async def test_unknown_state_is_refused(tickets: Tickets, ticket: Ticket, state: str) -> None:
    assert await tickets.arrive(state, "browser", NOW) is None


async def test_state_cannot_be_taken_by_a_second_visit(tickets: Tickets, ticket: Ticket) -> None:
    await tickets.depart(ticket, "other state", "other browser", b"other", NOW)
    assert await tickets.arrive("other state", "browser", NOW) is None
    assert await tickets.arrive("state", "other browser", NOW) is None


async def test_old_visits_are_forgotten(database: Database, tickets: Tickets, ticket: Ticket) -> None:
    await tickets.depart(ticket, "later", "browser", b"verifier", NOW + STATE_LIFETIME + SECOND)
    async with database.reading() as read:
        assert (await read.execute(select(func.count()).select_from(OAUTH_STATES))).scalar_one() == 1


async def rows(database: Database) -> tuple[int, int]:
    """How many tickets and visits there are."""
    counts = []
    for table in (CONNECT_TICKETS, OAUTH_STATES):
        async with database.reading() as read:
            counts.append((await read.execute(select(func.count()).select_from(table))).scalar_one())
    return counts[0], counts[1]


async def test_links_that_nobody_can_use_anymore_are_forgotten(
    database: Database, tickets: Tickets, scope: Scope, ticket: Ticket
) -> None:
    left = NOW + TICKET_LIFETIME - SECOND
    await tickets.depart(ticket, "late", "browser", b"verifier", left)
    await tickets.issue(new(scope), NOW + TICKET_LIFETIME + STATE_LIFETIME)
    assert await rows(database) == (2, 1)
    assert await tickets.arrive("late", "browser", left + STATE_LIFETIME - SECOND) is not None
    await tickets.issue(new(scope), NOW + TICKET_LIFETIME + STATE_LIFETIME + SECOND)
    assert await rows(database) == (2, 0)


async def test_links_do_not_pile_up_whoever_makes_them(database: Database, tickets: Tickets, scope: Scope) -> None:
    for _ in range(60):
        await tickets.issue(new(scope), NOW)
    later = NOW + TICKET_LIFETIME + STATE_LIFETIME + SECOND
    await asyncio.gather(*(tickets.issue(new(scope), later) for _ in range(8)))
    assert await rows(database) == (8, 0)


async def test_database_holds_no_secret_of_a_visit(database: Database, tickets: Tickets, scope: Scope) -> None:
    secret = (await tickets.issue(new(scope), NOW)).secret
    opened = await tickets.open(secret, NOW)
    assert opened is not None
    await tickets.depart(opened, "planted-state", "planted-browser", b"sealed", NOW)
    async with database.reading() as read:
        rows = [(await read.execute(select(table))).all() for table in (CONNECT_TICKETS, OAUTH_STATES)]
    assert all(rows) and secret not in repr(rows) and "planted" not in repr(rows)
