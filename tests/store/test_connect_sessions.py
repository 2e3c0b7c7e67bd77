"""Links to the hosted page on both databases."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from sqlalchemy import func, select

from store.connect_sessions import KEPT, LINK_LIFETIME, SESSION_LIFETIME, ConnectSessions, Wishes
from store.database import Database, utc_now
from store.scope import Scope
from store.tables import CONNECT_SESSIONS


async def test_link_opens_once_however_many_try(database: Database, scope: Scope) -> None:
    sessions, now = ConnectSessions(database), utc_now()
    wishes = Wishes(return_url="https://a.example", applications=("x",))
    secret = (await sessions.issue(scope, "acme", wishes, now)).secret
    opened = [one for one in await asyncio.gather(*(sessions.open(secret, now) for _ in range(5))) if one]
    assert len(opened) == 1
    session = await sessions.of_browser(opened[0], now)
    assert session is not None and (session.scope, session.linked_account_id) == (scope, "acme")
    assert session.wishes == wishes
    assert await sessions.of_browser(opened[0], now, secret=secret) == session
    assert await sessions.of_browser(opened[0], now, secret="another") is None
    assert await sessions.of_browser(secret, now) is None


async def test_link_and_session_end_to_the_moment(database: Database, scope: Scope) -> None:
    sessions, now, instant = ConnectSessions(database), utc_now(), timedelta(microseconds=1)
    late, good = [(await sessions.issue(scope, "acme", Wishes(), now)).secret for _ in range(2)]
    assert await sessions.open(late, now + LINK_LIFETIME) is None
    opened_at = now + LINK_LIFETIME - instant
    browser = await sessions.open(good, opened_at)
    assert browser is not None
    assert await sessions.of_browser(browser, opened_at + SESSION_LIFETIME - instant)
    assert await sessions.of_browser(browser, opened_at + SESSION_LIFETIME) is None


async def test_what_has_ended_is_deleted_when_a_link_is_made_and_what_is_framed_a_day_later(
    database: Database, scope: Scope
) -> None:
    sessions, now = ConnectSessions(database), utc_now()
    ended = [await sessions.issue(scope, "acme", Wishes(embed_origin="https://a.example"), now) for _ in range(3)]
    plain = await sessions.issue(scope, "acme", Wishes(body={"kept": "x" * 9999}), now)
    assert await sessions.of_id(plain.id)
    await sessions.issue(scope, "acme", Wishes(), now + LINK_LIFETIME)
    assert await sessions.of_id(plain.id) is None
    for link in ended:
        known = await sessions.of_link(link.secret)
        assert known == await sessions.of_id(link.id) and known is not None and known.id == link.id
        assert await sessions.open(link.secret, now + LINK_LIFETIME) is None
    assert await sessions.of_link(ended[0].id) is None and await sessions.of_id(ended[0].secret) is None
    await sessions.issue(scope, "acme", Wishes(), now + LINK_LIFETIME + KEPT)
    assert await sessions.of_id(ended[0].id) is None
    async with database.reading() as reading:
        assert (await reading.execute(select(func.count()).select_from(CONNECT_SESSIONS))).scalar_one() == 1
