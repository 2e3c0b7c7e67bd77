"""What a provider tells of the end of grants: what reaches the flag, and what must not."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

from everlink.contract import ProviderEventKind, ReauthReason
from providers.events import EventRule
from store.database import utc_now
from tests.conformance.teller import Message, Teller

if TYPE_CHECKING:
    from tests.conformance.life import Life

SOON = timedelta(seconds=30)  # ahead, as a provider's clock may be: so it is surely after the grant
REASONS = {
    ProviderEventKind.UNINSTALLED: ReauthReason.APP_UNINSTALLED,
    ProviderEventKind.REVOKED: ReauthReason.ACCESS_REVOKED,
}


async def told(life: Life) -> None:
    """Each event that ends grants reaches the flag; what is forged, stale, sent again or late doesn't."""
    events = life.entry.events
    if events is None:
        return
    application = await life.ok("GET", f"/v1/applications/{life.entry.slug}")
    teller = Teller(life.provider, events, application["events_url"])
    if events.secret == "signing_secret":
        await life.ok("PUT", f"/v1/applications/{life.entry.slug}", json={"signing_secret": teller.secret})
    for rule in events.rules:
        await _told_of(life, teller, rule)


async def _told_of(life: Life, teller: Teller, rule: EventRule) -> None:
    now, hour, before = utc_now(), timedelta(hours=1), await _sequence(life)
    if teller.events.secret is not None:
        assert (await _tell(life, teller, teller.message(rule, now, now, forged=True))) == 401, f"{rule}: forged"
    if teller.ages:
        assert (await _tell(life, teller, teller.message(rule, now, now - hour))) == 401, f"{rule}: stale"
    await _unmoved(life, before, f"{rule}: neither was proven")
    good = teller.message(rule, now + SOON, now)
    if rule.kind is ProviderEventKind.SUSPECT:
        life.provider.take_back()
    assert (await _tell(life, teller, good)) == teller.events.status, f"{rule}: refused"
    await _falls(life, REASONS.get(rule.kind) or life.provider.oauth2.dead[0].reason)
    await life.reconnected()
    if rule.kind is ProviderEventKind.SUSPECT:
        return  # one that says nothing new costs a probe, and no more
    before = await _sequence(life)
    assert (await _tell(life, teller, good)) == teller.events.status, f"{rule}: sent again, refused"
    if teller.events.occurred_at is not None:
        late = teller.message(rule, now - hour, now)
        assert (await _tell(life, teller, late)) == teller.events.status, f"{rule}: late, refused"
    await _unmoved(life, before, f"{rule}: sent again, or late")


async def _tell(life: Life, teller: Teller, message: Message) -> int:
    answer = await life.world.browser.request(
        message.method, teller.url, params=message.query, headers=message.headers, content=message.body
    )
    await life.world.dispatched()
    return answer.status_code


async def _falls(life: Life, reason: ReauthReason) -> None:
    """The flag is raised, with this reason, as soon as the connection has heard of it."""
    async with asyncio.timeout(20):
        while (found := await life.status())["status"] == "active":
            await asyncio.sleep(0.02)
    assert (found["status"], found["reason"]) == ("reauth_required", reason), f"told: {found}"


async def _unmoved(life: Life, before: int, what: str) -> None:
    """Nothing has happened: what was signalled comes before a refresh."""
    await life.refreshed()
    assert await _sequence(life) == before, what


async def _sequence(life: Life) -> int:
    return int((await life.status())["sequence"])
