"""The example's receiver: signed by Everlink, taken once, one customer's only."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from standardwebhooks.webhooks import Webhook

from examples.product.webhooks import Inbox

SECRET = "whsec_c2l4dGVlbiBieXRlcyBhcmUgZW5vdWdo"
MINE = {"event": "Connection Expired", "linked_account_id": "acme"}


@pytest.fixture
def inbox() -> Inbox:
    return Inbox(SECRET, "acme")


async def given(inbox: Inbox, event_id: str, event: dict[str, str], secret: str = SECRET) -> bool:
    at, body = datetime.now(UTC), json.dumps(event)
    headers = {
        "webhook-id": event_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(secret).sign(event_id, at, body),
    }
    return await inbox.take(body.encode(), headers)


async def test_event_that_comes_again_is_shown_once(inbox: Inbox) -> None:
    for event_id in ("one", "two", "one"):
        assert await given(inbox, event_id, MINE)
    assert [received.id for received in inbox.received] == ["two", "one"]


async def test_event_of_another_customer_is_taken_and_not_shown(inbox: Inbox) -> None:
    assert await given(inbox, "one", {**MINE, "linked_account_id": "globex"})
    assert not inbox.received


async def test_event_with_another_signature_or_none_is_refused(inbox: Inbox) -> None:
    assert not await given(inbox, "one", MINE, "whsec_YW5vdGhlciBzZWNyZXQgb2Ygc29tZWJvZHk=")
    assert not await inbox.take(json.dumps(MINE).encode(), {})
    assert not inbox.received


async def test_pages_are_told_until_the_end(inbox: Inbox) -> None:
    changes = inbox.changes()
    assert await anext(changes) == 0
    await given(inbox, "one", MINE)
    assert await anext(changes) == 1
    await inbox.close()
    assert [change async for change in changes] == []
