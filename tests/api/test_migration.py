"""Connections that another system holds move here without their customers."""

from __future__ import annotations

import asyncio
import socket
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from api import migrating
from api.services import open_services
from everlink.contract import Verdict
from providers.credential import OAuthCredential
from providers.verdict import ProbeVerdict
from store.database import StoreUnavailable, utc_now
from store.vault import Kind
from tests.api.conftest import Everlink, running, until_status

MIGRATE = "/api/v2/public/migrate-token"
STRUCTURE = "/api/v2/public/auth-structure"


async def credential_of(everlink: Everlink, product: httpx.AsyncClient, connection: str) -> OAuthCredential:
    made = everlink.made
    key = await made.api_keys.authenticate(product.headers["x-api-key"], utc_now())
    assert key is not None
    stored = await made.credentials.read(key.scope, connection)
    assert stored is not None
    return OAuthCredential.model_validate_json(
        await made.vault.open(key.scope, Kind.CREDENTIAL, connection, stored.sealed)
    )


async def held_elsewhere(everlink: Everlink, name: str = "ada") -> dict[str, Any]:
    """A grant that another system holds: here another organization, which leaves it alone from now on."""
    other = await everlink.product("The system before")
    credential = await credential_of(everlink, other, await everlink.connect(other, name))
    return {"access_token": credential.access_token, "refresh_token": credential.refresh_token}


async def migrate(product: httpx.AsyncClient, oauth2: dict[str, Any]) -> httpx.Response:
    return await product.put(MIGRATE, json={"slug": "sandbox", "auth_object": {"oauth2": oauth2}})


async def only_connection(product: httpx.AsyncClient) -> dict[str, Any]:
    [connection] = (await product.get("/v1/connections")).json()["connections"]
    return dict(connection)


async def test_grant_whose_token_lives_is_taken_over_as_it_is(everlink: Everlink, product: httpx.AsyncClient) -> None:
    held = await held_elsewhere(everlink)
    answer = await migrate(product, {**held, "expires_in": 1800, "instance_url": "https://eu.example", "scope": "read"})
    assert answer.status_code == 200 and answer.json()["success"] is True, answer.text
    connection = await only_connection(product)
    assert (connection["identifier"], connection["status"]) == ("ada@acme.example", "active")
    token = (await product.get(f"/v1/connections/{connection['id']}/token")).json()
    assert token["access_token"] == held["access_token"] and token["extra"] == {"instance_url": "https://eu.example"}
    assert held["refresh_token"] not in answer.text
    [event] = (await product.get(f"/v1/connections/{connection['id']}/events")).json()["transitions"]
    assert event["event"] == "Connection Created"
    refreshed = await product.post(f"/v1/connections/{connection['id']}/refresh")
    assert (refreshed.json()["verdict"], refreshed.json()["generation"]) == ("ok", 2)


@pytest.mark.parametrize(
    "over",
    [
        {"expires_in": 0},
        {"expires_at": "2020-01-01T00:00:00+02:00"},
        {"expires_at": 1_500_000_000},
        {"access_token": None},
        {"access_token": "refused"},
    ],
    ids=str,
)
async def test_token_that_is_over_is_no_hindrance_where_it_can_be_refreshed(
    everlink: Everlink, product: httpx.AsyncClient, over: dict[str, Any]
) -> None:
    held = {**await held_elsewhere(everlink), **over}
    answer = await migrate(product, {name: value for name, value in held.items() if value is not None})
    assert answer.status_code == 200, answer.text
    connection = await only_connection(product)
    assert (connection["identifier"], connection["status"]) == ("ada@acme.example", "active")
    token = (await product.get(f"/v1/connections/{connection['id']}/token")).json()
    async with httpx.AsyncClient(headers={"authorization": f"Bearer {token['access_token']}"}) as provider:
        assert (await provider.get(f"{everlink.sandbox}/api/me")).status_code == 200


async def test_token_of_which_nobody_says_when_it_ends_is_soon_refreshed(
    everlink: Everlink, product: httpx.AsyncClient
) -> None:
    """Its own lifetime says nothing: it may have been issued an hour ago."""
    await migrate(product, await held_elsewhere(everlink))
    connection = await only_connection(product)
    token = (await product.get(f"/v1/connections/{connection['id']}/token")).json()
    assert datetime.fromisoformat(token["expires_at"]) <= utc_now() + timedelta(minutes=1)


async def test_same_grant_again_changes_nothing_also_after_its_tokens_were_rotated(
    everlink: Everlink, product: httpx.AsyncClient
) -> None:
    """The sandbox ends a grant whose rotated token is used again: a script that starts again must not do that."""
    held = {**await held_elsewhere(everlink), "expires_in": 1800}
    for _ in range(2):
        assert (await migrate(product, held)).status_code == 200
    connection = await only_connection(product)
    for generation in (2, 3):
        refreshed = (await product.post(f"/v1/connections/{connection['id']}/refresh")).json()
        assert (refreshed["generation"], refreshed["verdict"]) == (generation, "ok")
    again = await migrate(product, {**held, "expires_in": 0})
    assert again.status_code == 200 and "nothing was changed" in again.json()["message"]
    refreshed = (await product.post(f"/v1/connections/{connection['id']}/refresh")).json()
    assert (refreshed["generation"], refreshed["verdict"]) == (4, "ok")


async def test_same_grant_many_times_at_once_is_refreshed_once(everlink: Everlink, product: httpx.AsyncClient) -> None:
    held = {**await held_elsewhere(everlink), "expires_in": -5}
    answers = await asyncio.gather(*(migrate(product, held) for _ in range(5)))
    assert [answer.status_code for answer in answers] == [200] * 5
    connection = await only_connection(product)
    assert (await product.post(f"/v1/connections/{connection['id']}/refresh")).json()["verdict"] == "ok"


async def test_same_grant_at_two_processes_at_once_is_refreshed_once(
    everlink: Everlink, product: httpx.AsyncClient
) -> None:
    """A script that gave up waiting sends it again, and a balancer gives it to another process."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    moved = {"port": port, "public_url": f"http://127.0.0.1:{port}"}
    held = {**await held_elsewhere(everlink), "expires_in": -5}
    async with (
        running(everlink.made.settings.model_copy(update=moved), everlink.sandbox, worker=False) as second,
        httpx.AsyncClient(base_url=second.url, headers=product.headers, timeout=40) as there,
    ):
        answers = await asyncio.gather(migrate(product, held), migrate(there, held))
        assert sorted(answer.status_code for answer in answers) in ([200, 200], [200, 503])
        again = await migrate(there, held)
        assert again.status_code == 200 and "nothing was changed" in again.json()["message"]
    connection = await only_connection(product)
    assert (await product.post(f"/v1/connections/{connection['id']}/refresh")).json()["verdict"] == "ok"


async def test_store_that_goes_away_after_the_rotation_loses_no_grant(
    everlink: Everlink, product: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = {**await held_elsewhere(everlink), "expires_in": 0}
    connections, outages = everlink.made.connections, iter((1, 2))
    find_or_create = connections.find_or_create

    async def away(*args: Any, **kwargs: Any) -> object:
        if next(outages, None) is not None:
            raise StoreUnavailable("the database cannot be reached")
        return await find_or_create(*args, **kwargs)

    monkeypatch.setattr(connections, "find_or_create", away)
    monkeypatch.setattr(migrating, "STORE_PAUSE", 0.01)
    assert (await migrate(product, held)).status_code == 200
    connection = await only_connection(product)
    assert (await product.post(f"/v1/connections/{connection['id']}/refresh")).json()["verdict"] == "ok"


async def test_process_that_ends_lets_a_grant_be_kept_whose_sender_has_gone(everlink: Everlink) -> None:
    done = asyncio.Event()

    async def keep() -> None:
        await asyncio.sleep(0.3)
        done.set()

    async with open_services(everlink.made.settings) as made:
        sender = asyncio.create_task(made.shielded.run(keep()))
        await asyncio.sleep(0)
        sender.cancel()
    assert done.is_set()


async def test_connection_that_waits_for_its_customer_is_mended_under_its_id(
    everlink: Everlink, product: httpx.AsyncClient
) -> None:
    connection = await everlink.connect(product)
    async with everlink.customer() as ada:
        await ada.revoke()
    assert (await product.post(f"/v1/connections/{connection}/report", json={})).status_code == 202
    await until_status(product, connection, "reauth_required")
    assert (await migrate(product, await held_elsewhere(everlink))).status_code == 200
    assert (await only_connection(product))["id"] == connection
    await until_status(product, connection, "active")


async def test_grant_that_is_refused_is_not_stored(everlink: Everlink, product: httpx.AsyncClient) -> None:
    held = await held_elsewhere(everlink)
    async with everlink.customer() as ada:
        await ada.revoke()
    alone = {"access_token": held["access_token"]}
    for given, code in (
        (held, "credentials_refused"),
        ({**held, "expires_in": 0}, "credentials_refused"),
        (alone, "credentials_refused"),
        ({**alone, "expires_in": 0}, "already_expired"),
        ({"refresh_token": "planted-token"}, "credentials_refused"),
        ({"access_token": "line\r\nbreak"}, "credentials_refused"),
    ):
        answer = await migrate(product, given)
        assert (answer.status_code, answer.json()["error_code"]) == (422, code), given
        assert "planted" not in answer.text and held["access_token"] not in answer.text
    assert (await product.get("/v1/connections")).json()["connections"] == []


async def test_what_was_rotated_is_kept_though_the_provider_does_not_say_whose_it_is(
    everlink: Everlink, product: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def silent(*_: object) -> ProbeVerdict:
        return ProbeVerdict(Verdict.TRANSIENT, "no answer", retry_after=7)

    held = [await held_elsewhere(everlink, name) for name in ("ada", "grace")]
    monkeypatch.setattr(migrating, "ask", silent)
    monkeypatch.setattr(migrating, "PAUSES", (0.0,))
    waiting = await migrate(product, {**held[0], "expires_in": 1800})
    assert (waiting.status_code, waiting.headers["retry-after"]) == (502, "7")
    for one in held:
        assert (await migrate(product, {**one, "expires_in": 0})).status_code == 200
    listed = (await product.get("/v1/connections")).json()["connections"]
    assert len({row["identifier"] for row in listed}) == 2
    for row in listed:
        assert row["identifier"].startswith("unidentified-") and row["status"] == "active"
        assert (await product.post(f"/v1/connections/{row['id']}/refresh")).json()["verdict"] == "ok"


async def test_account_that_nobody_could_tell_is_known_from_the_first_reconnect_on(
    everlink: Everlink, product: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def silent(*_: object) -> ProbeVerdict:
        return ProbeVerdict(Verdict.TRANSIENT, "no answer")

    held = await held_elsewhere(everlink, "ada")
    monkeypatch.setattr(migrating, "ask", silent)
    monkeypatch.setattr(migrating, "PAUSES", (0.0,))
    assert (await migrate(product, {**held, "expires_in": 0})).status_code == 200
    before = await only_connection(product)
    async with everlink.customer() as ada:
        await ada.revoke()
        await product.post(f"/v1/connections/{before['id']}/report", json={})
        await until_status(product, str(before["id"]), "reauth_required")
        link = (await product.post(f"/v1/connections/{before['id']}/reconnect")).json()["connect_url"]
        assert (await ada.consent(link)).status_code == 200
    mended = await only_connection(product)
    assert (mended["id"], mended["status"], mended["identifier"]) == (before["id"], "active", "ada@acme.example")
    async with everlink.customer("grace") as grace:  # and then it is that account's
        link = (await product.post(f"/v1/connections/{before['id']}/reconnect")).json()["connect_url"]
        assert (await grace.consent(link)).status_code == 409


async def test_key_is_taken_over_and_a_refused_one_is_not(everlink: Everlink, product: httpx.AsyncClient) -> None:
    async with everlink.customer() as ada:
        _, key = await ada.create_key()
    body = {"slug": "sandbox-key", "auth_object": {"keybased": {"api_key": "sk_sandbox_planted"}}}
    refused = await product.put(MIGRATE, json=body)
    assert (refused.status_code, refused.json()["error_code"]) == (422, "credentials_refused")
    assert "planted" not in refused.text
    body["auth_object"] = {"keybased": {"api_key": key}}
    assert (await product.put(MIGRATE, json=body)).json()["success"] is True
    assert (await only_connection(product))["slug"] == "sandbox-key"


@pytest.mark.parametrize(
    ("slug", "auth_object", "status", "code"),
    [
        ("sandbox", {}, 422, "invalid_request"),
        ("sandbox", {"oauth2": {}}, 422, "invalid_request"),
        ("sandbox", {"oauth2": {"access_token": ""}}, 422, "invalid_request"),
        ("sandbox", {"oauth2": {"access_token": "a", "expires_in": True}}, 422, "invalid_request"),
        ("sandbox", {"oauth2": {"access_token": "a", "expires_in": 1e99}}, 422, "invalid_request"),
        ("sandbox", {"oauth2": {"access_token": "a", "expires_at": "tomorrow"}}, 422, "invalid_request"),
        ("sandbox", {"oauth2": {"access_token": "a", "expires_at": "2030-01-01T00:00:00"}}, 422, "invalid_request"),
        ("sandbox", {"oauth2": {"access_token": "a", "expires_at": 1e300}}, 422, "invalid_request"),
        ("sandbox", {"oauth2": {"access_token": "a", "expires_in": 1, "expires_at": 1}}, 422, "invalid_request"),
        ("sandbox", {"oauth2": {"access_token": "a"}, "keybased": {"api_key": "a"}}, 422, "invalid_request"),
        ("sandbox", {"keybased": {"api_key": "a"}}, 400, "not_keybased"),
        ("sandbox", {"keybased": {}}, 400, "not_keybased"),
        ("sandbox-key", {"oauth2": {"access_token": "a"}}, 400, "not_oauth2"),
        ("sandbox-key", {"keybased": {"api_key": "a", "org_id": "another"}}, 422, "invalid_fields"),
        ("nothing", {"keybased": {"api_key": "a"}}, 404, "application_not_found"),
    ],
    ids=str,
)
async def test_what_is_no_grant_of_the_application_is_told(
    product: httpx.AsyncClient, slug: str, auth_object: dict[str, Any], status: int, code: str
) -> None:
    answer = await product.put(MIGRATE, json={"slug": slug, "auth_object": auth_object})
    assert (answer.status_code, answer.json()["error_code"]) == (status, code), answer.text


async def test_client_that_is_not_the_grants_own_is_told(everlink: Everlink, product: httpx.AsyncClient) -> None:
    held = await held_elsewhere(everlink)
    credentials = {"client_secret": "wrong", "previous_secret_seconds": 0}
    assert (await product.put("/v1/applications/sandbox", json=credentials)).status_code == 200
    answer = await migrate(product, {**held, "expires_in": 0})
    assert (answer.status_code, answer.json()["error_code"]) == (422, "application_refused")
    assert (await product.get("/v1/connections")).json()["connections"] == []


async def test_grant_is_taken_over_by_the_secret_before_while_that_lives(
    everlink: Everlink, product: httpx.AsyncClient
) -> None:
    held = await held_elsewhere(everlink)
    assert (await product.put("/v1/applications/sandbox", json={"client_secret": "not yet there"})).status_code == 200
    assert (await migrate(product, {**held, "expires_in": 0})).status_code == 200
    assert (await only_connection(product))["status"] == "active"


async def test_structure_of_a_built_in_application_is_for_everybody(everlink: Everlink) -> None:
    async with httpx.AsyncClient(base_url=everlink.url) as anybody:
        structure = (await anybody.get(f"{STRUCTURE}/slack")).json()
        assert structure["oauth2"]["access_token"] == "string" and structure["keybased"] == {}
        for slug in ("sandbox", "sandbox-key", "nothing", ".."):  # a folder of one's own is nobody else's to see
            assert (await anybody.get(f"{STRUCTURE}/{slug}")).status_code == 404


async def test_structure_of_a_key_names_its_fields(everlink: Everlink, monkeypatch: pytest.MonkeyPatch) -> None:
    catalog = everlink.made.catalog
    entry = catalog.get("sandbox-key")
    assert entry is not None
    monkeypatch.setitem(catalog._built_in, "built-in-key", entry)
    async with httpx.AsyncClient(base_url=everlink.url) as anybody:
        structure = (await anybody.get(f"{STRUCTURE}/built-in-key")).json()
    assert structure == {"oauth2": {}, "keybased": {"api_key": "string"}}
