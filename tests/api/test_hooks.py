"""What a provider sends reaches the flag: proven, kept, told to those whom it is about, once."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from datetime import datetime
from typing import Any
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import select

from store.database import utc_now
from store.scope import Scope
from store.tables import CONNECTION_KEYS, CONNECTIONS, PROVIDER_EVENTS
from tests.api.conftest import Everlink, until_status
from tests.api.removing import scope_of

SECRET = "signing-secret-of-the-sandbox"


def signed(body: bytes, secret: str = SECRET, at: datetime | None = None) -> dict[str, str]:
    """As the sandbox's entry says that it signs; made without anything of ours."""
    stamp = int((at or utc_now()).timestamp())
    made = hmac.new(secret.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
    return {"x-sandbox-signature": f"t={stamp},v1={made}", "content-type": "application/json"}


def event(kind: str, account: str = "ada@example.com", at: datetime | None = None, id: str | None = None) -> bytes:
    when = (at or utc_now()).isoformat()
    return json.dumps({"event": kind, "account": account, "id": id or uuid4().hex, "at": when}).encode()


async def hook(product: httpx.AsyncClient) -> str:
    """The address, with the secret given."""
    answer = await product.put("/v1/applications/sandbox", json={"signing_secret": SECRET})
    assert answer.json()["has_signing_secret"] is True
    assert SECRET not in answer.text
    return str(answer.json()["events_url"])


async def kept(everlink: Everlink, scope: Scope) -> list[Any]:
    async with everlink.made.database.reading() as reading:
        query = select(PROVIDER_EVENTS).where(scope.owns(PROVIDER_EVENTS)).order_by(PROVIDER_EVENTS.c.id)
        return list((await reading.execute(query)).all())


async def connected(everlink: Everlink, product: httpx.AsyncClient, name: str = "ada") -> tuple[str, str]:
    """A connection, and the account that events name it by."""
    connection = await everlink.connect(product, name)
    database = everlink.made.database
    async with database.writing() as writing:
        row = (await writing.execute(select(CONNECTIONS).where(CONNECTIONS.c.id == connection))).one()
        key = {name: getattr(row, name) for name in ("org_id", "environment", "slug")}
        key |= {"connection_id": connection, "name": "account", "value": row.identifier}
        await writing.execute(database.insert_or_ignore(CONNECTION_KEYS, key))
    return connection, row.identifier


async def send(everlink: Everlink, url: str, body: bytes, headers: Any, method: str = "POST") -> httpx.Response:
    async with httpx.AsyncClient(timeout=40) as provider:
        return await provider.request(method, url, content=body, headers=headers)


@pytest.mark.parametrize(("kind", "reason"), [("uninstalled", "app_uninstalled"), ("revoked", "access_revoked")])
async def test_what_the_provider_tells_reaches_the_flag(
    everlink: Everlink, product: httpx.AsyncClient, kind: str, reason: str
) -> None:
    connection, account = await connected(everlink, product)
    other, _ = await connected(everlink, product, "grace")
    url, body = await hook(product), event(kind, account)
    answer = await send(everlink, url, body, signed(body))
    assert (answer.status_code, answer.content) == (200, b"")
    flagged = await until_status(product, connection, "reauth_required")
    assert flagged["reason"] == reason
    assert (await product.get(f"/v1/connections/{other}")).json()["status"] == "active"
    [row] = await until_dispatched(everlink, await scope_of(everlink.made, product))
    assert (row.told, row.ended) == (1, [])


async def until_dispatched(everlink: Everlink, scope: Scope) -> list[Any]:
    async with asyncio.timeout(20):
        while True:
            rows = await kept(everlink, scope)
            if all(row.dispatched_at is not None for row in rows):
                return rows
            await asyncio.sleep(0.05)
