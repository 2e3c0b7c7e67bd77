"""Session tokens on both databases: who wins when two come at once."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from sqlalchemy import select

from store.database import Database, utc_now
from store.scope import Scope
from store.sessions import Sessions
from store.tables import SESSION_TOKENS
from store.tenants import Tenants
from store.vault import MasterKeys, Vault, new_master_key


def sessions_of(database: Database) -> Sessions:
    return Sessions(database, Vault(database, MasterKeys(new_master_key())))


async def test_pair_is_renewed_once_however_many_try(database: Database, scope: Scope) -> None:
    sessions, now = sessions_of(database), utc_now()
    pair = await sessions.issue(scope, "acme", now, anew=False)
    session = await sessions.of_refresh_token(pair.refresh_token, now)
    assert session is not None and session.allowed_origins == ()
    renewed = [one for one in await asyncio.gather(*(sessions.renew(session, now) for _ in range(5))) if one]
    assert len(renewed) == 1
    assert await sessions.authenticate(renewed[0].token, now) is None  # the other four ended it
    assert await sessions.revoke(scope, "acme", now) == 0


async def test_session_ends_to_the_moment(database: Database, scope: Scope) -> None:
    sessions, now = sessions_of(database), utc_now()
    pair = await sessions.issue(scope, "acme", now, anew=False)
    just, over = pair.expires_at - timedelta(microseconds=1), pair.expires_at
    assert await sessions.authenticate(pair.token, just) and not await sessions.authenticate(pair.token, over)
    end = pair.refresh_expires_at
    assert await sessions.of_refresh_token(pair.refresh_token, end - timedelta(microseconds=1))
    assert not await sessions.of_refresh_token(pair.refresh_token, end)


async def test_origins_come_with_the_session(database: Database, scope: Scope) -> None:
    sessions, tenants, now = sessions_of(database), Tenants(database), utc_now()
    pair = await sessions.issue(scope, "acme", now, anew=False)
    for origins in (["https://a.example"], ["https://b.example", "https://c.example"], []):
        await tenants.change_settings(scope, {"allowed_origins": origins})
        session = await sessions.authenticate(pair.token, now)
        assert session is not None and session.allowed_origins == tuple(origins)


async def test_what_is_renewed_at_the_same_moment_is_revoked_with_the_rest(database: Database, scope: Scope) -> None:
    """A revocation that began before the renewal was committed would not see the pair that it makes."""
    sessions, now = sessions_of(database), utc_now()
    first = await sessions.issue(scope, "acme", now, anew=True)
    session = await sessions.of_refresh_token(first.refresh_token, now)
    assert session is not None
    async with database.writing() as held:
        await held.execute(select(SESSION_TOKENS).with_for_update())
        renewing = asyncio.create_task(sessions.renew(session, now))
        await asyncio.wait([renewing], timeout=0.3)
        revoking = asyncio.create_task(sessions.revoke(scope, "acme", now))
        await asyncio.wait([revoking], timeout=0.3)
    renewed, _ = await asyncio.gather(renewing, revoking)
    assert renewed is not None and await sessions.authenticate(renewed.token, now) is None


async def test_thief_who_renews_at_the_moment_of_the_discovery_gains_nothing(database: Database, scope: Scope) -> None:
    sessions, now = sessions_of(database), utc_now()
    first = await sessions.issue(scope, "acme", now, anew=True)
    honest = await sessions.of_refresh_token(first.refresh_token, now)
    assert honest is not None
    stolen = await sessions.renew(honest, now)
    assert stolen is not None
    thief = await sessions.of_refresh_token(stolen.refresh_token, now)
    assert thief is not None
    async with database.writing() as held:
        await held.execute(select(SESSION_TOKENS).with_for_update())
        renewing = asyncio.create_task(sessions.renew(thief, now))
        await asyncio.wait([renewing], timeout=0.3)
        discovering = asyncio.create_task(sessions.renew(honest, now))
        await asyncio.wait([discovering], timeout=0.3)
    renewed, discovered = await asyncio.gather(renewing, discovering)
    assert discovered is None and renewed is not None
    assert await sessions.authenticate(renewed.token, now) is None
