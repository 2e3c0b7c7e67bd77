"""`everlink.Client` against the real API: what a product does in a customer's life."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import httpx
import pytest

from dev.listener import Listener
from everlink import Client, EverlinkError, NotFound, ReauthRequired
from everlink.contract import ConnectionStatus, DeliveryStatus, EventType, KeyScope, ReauthReason
from everlink.models import Removal
from store.database import utc_now
from tests.api.conftest import Everlink


@pytest.fixture
async def client(everlink: Everlink, product: httpx.AsyncClient) -> AsyncIterator[Client]:
    async with Client(everlink.url, product.headers["x-api-key"]) as one:
        yield one


async def finished(client: Client, removal: Removal) -> Removal:
    async with asyncio.timeout(30):
        while removal.finished_at is None:
            await asyncio.sleep(0.1)
            removal = await client.removal(removal.id)
    return removal


async def test_a_customers_life(everlink: Everlink, client: Client) -> None:
    await client.linked_accounts.save("globex", name="Globex", udf={"plan": "gold"})
    account = await client.linked_accounts.get("globex")
    assert (account.name, account.udf) == ("Globex", {"plan": "gold"})
    assert "globex" in [one.id async for one in client.linked_accounts.all()]
    async with everlink.customer() as ada:
        await ada.consent(await client.linked_accounts.connect_link("globex", "sandbox"))
        connection = await anext(client.connections.all(linked_account_id="globex"))
        assert connection.status is ConnectionStatus.ACTIVE
        first = await client.connections.token(connection.id)
        refreshed = await client.connections.refresh(connection.id)
        assert refreshed.generation == first.generation + 1
        await ada.revoke()
        await client.connections.report(connection.id, refreshed.generation)
        dead = await client.connections.wait(connection.id, status=ConnectionStatus.REAUTH_REQUIRED)
        assert dead.reason is ReauthReason.ACCESS_REVOKED
        with pytest.raises(ReauthRequired) as told:
            await client.connections.token(connection.id)
        assert told.value.reason == ReauthReason.ACCESS_REVOKED and told.value.reconnect_url
        assert (await client.connections.counts(linked_account_id="globex")).reauth_required == 1
        assert [one.reauth_required for one in await client.linked_accounts.applications("globex") if one.connected]
        await ada.consent(told.value.reconnect_url)
    mended = await client.connections.wait(connection.id, after=dead.sequence)
    assert (mended.id, mended.status) == (connection.id, ConnectionStatus.ACTIVE)
    events = [change.event for change in (await client.connections.timeline(connection.id)).transitions]
    assert events == [EventType.CREATED, EventType.EXPIRED, EventType.REAUTHENTICATED]
    removal = await finished(client, await client.linked_accounts.remove("globex"))
    assert (removal.total, removal.done) == (1, 1)
    for gone in (client.connections.get(connection.id), client.linked_accounts.get("globex")):
        with pytest.raises(NotFound):
            await gone


async def test_a_customer_whose_id_fits_no_header(everlink: Everlink, client: Client) -> None:
    account_id = "Müller & Söhne / 7"
    await client.linked_accounts.save(account_id)
    assert [one.connected for one in await client.linked_accounts.applications(account_id)] == [False, False]
    async with everlink.customer() as ada:
        _, key = await ada.create_key()
        await client.linked_accounts.save_key(account_id, "sandbox-key", {"api_key": key})
        await ada.consent(await client.linked_accounts.connect_link(account_id, "sandbox"))
    connected = [one.slug async for one in client.connections.all(linked_account_id=account_id)]
    assert sorted(connected) == ["sandbox", "sandbox-key"]


async def test_a_key(everlink: Everlink, client: Client) -> None:
    async with everlink.customer() as ada:
        _, key = await ada.create_key()
    await client.linked_accounts.save_key("acme", "sandbox-key", {"api_key": key})
    connection = await anext(client.connections.all(application="sandbox-key"))
    assert (await client.connections.token(connection.id)).fields == {"api_key": key}
    with pytest.raises(EverlinkError) as refused:
        await client.linked_accounts.save_key("acme", "sandbox-key", {"api_key": "wrong"})
    assert (refused.value.status, refused.value.error_code) == (422, "credentials_refused")
    assert (await client.connections.disconnect(connection.id)).status is ConnectionStatus.DISCONNECTED


async def test_a_wait_ends_at_its_time(everlink: Everlink, product: httpx.AsyncClient, client: Client) -> None:
    connection_id = await everlink.connect(product)
    waited = await client.connections.wait(connection_id, status=ConnectionStatus.REAUTH_REQUIRED, timeout=1)
    assert waited.status is ConnectionStatus.ACTIVE


async def test_applications(client: Client) -> None:
    enabled = await client.applications.enable("slack", client_id="c1", client_secret="s1", scopes=["chat:write"])
    assert await client.applications.get("slack") == enabled
    assert enabled.has_client_secret and enabled.scopes == ["chat:write"]
    assert "slack" in [one.slug for one in await client.applications.all()]
    await finished(client, await client.applications.remove("slack"))
    with pytest.raises(NotFound):
        await client.applications.get("slack")


async def test_api_keys(everlink: Everlink, client: Client) -> None:
    made = await client.api_keys.create("reader", [KeyScope.READ], expires_at=utc_now() + timedelta(days=1))
    async with Client(everlink.url, made.key) as reader:
        await reader.connections.counts()
        with pytest.raises(EverlinkError) as refused:
            await reader.applications.remove("sandbox")
        assert refused.value.status == 403
        successor = await client.api_keys.rotate(made.id, overlap_seconds=60)
        await reader.connections.counts()
        await client.api_keys.revoke(made.id)
        with pytest.raises(EverlinkError) as revoked:
            await reader.connections.counts()
        assert revoked.value.status == 401
    async with Client(everlink.url, successor.key) as reader:
        await reader.connections.counts()
    assert {made.id, successor.id} <= {key.id for key in await client.api_keys.all()}


async def test_webhook_endpoints(client: Client) -> None:
    added = await client.webhook_endpoints.add("http://127.0.0.1/hooks", [EventType.EXPIRED])
    assert added.secret.startswith("whsec_")
    assert [one.id for one in await client.webhook_endpoints.all()] == [added.id]
    changed = await client.webhook_endpoints.change(added.id, events=[EventType.CREATED], is_enabled=False)
    assert (changed.events, changed.is_enabled, changed.url) == ([EventType.CREATED], False, added.url)
    await client.webhook_endpoints.remove(added.id)
    assert await client.webhook_endpoints.all() == []


async def test_webhook_endpoint_of_a_receiver_that_is_there_already(client: Client) -> None:
    added = await client.webhook_endpoints.add(
        "http://127.0.0.1/hooks",
        [EventType.EXPIRED],
        headers={"authorization": "Bearer planted"},
        method="PUT",
        legacy_secret="planted-legacy-secret",
    )
    assert (added.header_names, added.method) == (["authorization"], "PUT")
    assert added.legacy_signature is not None and added.legacy_signature.header == "x-cobalt-signature"
    assert (await client.webhook_endpoints.get(added.id)).legacy_signature == added.legacy_signature
    kept = await client.webhook_endpoints.change(added.id, headers={})
    assert kept.header_names == [] and kept.legacy_signature == added.legacy_signature
    assert (await client.webhook_endpoints.change(added.id, legacy_secret="")).legacy_signature is None


async def test_webhook_endpoint_of_one_application_whose_secret_is_rotated(client: Client) -> None:
    added = await client.webhook_endpoints.add(
        "http://127.0.0.1/hooks", [EventType.EXPIRED], applications=["sandbox"], reminders=False
    )
    assert (added.applications, added.reminders) == (["sandbox"], False)
    changed = await client.webhook_endpoints.change(added.id, applications=[], reminders=True)
    assert (changed.applications, changed.reminders) == ([], True)
    rotated = await client.webhook_endpoints.rotate_secret(added.id, overlap_seconds=60)
    assert rotated.secret not in ("", added.secret) and rotated.previous_secret_until is not None
    assert (await client.webhook_endpoints.rotate_secret(added.id, overlap_seconds=0)).previous_secret_until is None


async def test_deliveries(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("everlink.client.webhook_endpoints.PAGE", 2)
    async with Listener() as listener:
        added = await client.webhook_endpoints.add(listener.url, [EventType.EXPIRED])
        listener.trust(added.secret)
        events = [await client.webhook_endpoints.test(added.id) for _ in range(5)]
        async with asyncio.timeout(20):
            while set(listener.ids) != set(events):
                await asyncio.sleep(0.05)
    listed = [one async for one in client.webhook_endpoints.deliveries(added.id)]
    assert [one.event_id for one in listed] == events[::-1] and {one.event for one in listed} == {EventType.TEST}
    async with asyncio.timeout(20):
        while (found := await client.deliveries.get(events[0], added.id)).delivery.status is DeliveryStatus.SCHEDULED:
            await asyncio.sleep(0.05)
    assert [one.status for one in found.attempts] == [204] and found.body["endpoint_id"] == added.id
    assert await client.deliveries.of_event(events[0]) == [found.delivery]
    failed = client.webhook_endpoints.deliveries(added.id, status=DeliveryStatus.FAILED)
    assert [one async for one in failed] == []
    await client.webhook_endpoints.change(added.id, is_enabled=False)
    with pytest.raises(EverlinkError) as refused:
        await client.webhook_endpoints.test(added.id)
    assert (refused.value.status, refused.value.error_code) == (409, "endpoint_disabled")


async def test_a_session_token_is_for_one_customer(everlink: Everlink, client: Client) -> None:
    session = await client.linked_accounts.session_token("acme")
    bearer = {"authorization": f"Bearer {session.token}"}
    async with httpx.AsyncClient(base_url=everlink.url, headers=bearer) as browser:
        account = (await browser.get("/api/v2/public/session/active-linked-account")).json()
    assert account["account_id"] == "acme"


async def test_settings(client: Client) -> None:
    origins, urls = ["https://app.acme.example"], ["https://app.acme.example/integrations"]
    changed = await client.settings.change(
        allowed_origins=origins, return_urls=urls, reminder_days=[2], brand_colour="#0f766e"
    )
    assert (changed.allowed_origins, changed.return_urls, changed.reminder_days) == (origins, urls, [2])
    assert await client.settings.change(allowed_origins=[], brand_colour="") == await client.settings.get()
    left = await client.settings.get()
    assert (left.allowed_origins, left.return_urls, left.brand_colour) == ([], urls, None)


async def test_export_is_lines(client: Client) -> None:
    lines = [line async for line in client.export()]
    assert any('"acme"' in line for line in lines)


async def test_a_refresh_that_came_too_late_for_its_generation_does_nothing(
    everlink: Everlink, product: httpx.AsyncClient, client: Client
) -> None:
    connection_id = await everlink.connect(product)
    assert (await client.connections.refresh(connection_id, newer_than=1)).generation == 2
    assert (await client.connections.refresh(connection_id, newer_than=1)).generation == 2
    assert (await client.connections.refresh(connection_id)).generation == 3
