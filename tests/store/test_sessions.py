"""Session tokens on both databases: who wins when two come at once."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from store.database import Database, utc_now
from store.scope import Scope
from store.sessions import Sessions
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
        await tenants.allow_origins(scope, origins)
        session = await sessions.authenticate(pair.token, now)
        assert session is not None and session.allowed_origins == tuple(origins)
