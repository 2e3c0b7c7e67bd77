"""With the codec on everything works, and nothing in Temporal names a customer."""

from __future__ import annotations

import asyncio
import shutil
from base64 import b64decode
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from google.protobuf.json_format import MessageToDict
from pydantic import SecretStr
from temporalio.api.workflowservice.v1 import (
    DescribeWorkflowExecutionRequest,
    GetWorkflowExecutionHistoryRequest,
    ListWorkflowExecutionsRequest,
)
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment

from dev.listener import Listener
from everlink.contract import LINKED_ACCOUNT, SEARCH_ATTRIBUTES, connection_workflow_id
from store.codec import ENCODING, Pseudonyms, client_plugin, codec_keys
from store.settings import Settings
from store.vault import new_master_key
from tests.api.conftest import OAUTH_URL, Everlink, running, settings_for, until_status
from tests.api.removing import until_removed
from tests.api.test_nexus import ask, dead, reconnect, their_namespace, until_waited_for
from tests.servers import start_dev_server

ORGANIZATION, ACCOUNT, IDENTIFIER = "Umbrella Holding", "initech-4711", "ada@acme.example"
SECRETS = (ORGANIZATION, ACCOUNT, IDENTIFIER)
# What the SDK writes for itself: the patch that a workflow has, and which local activity ended when.
PATCHED = "TemporalChangeVersion"
MARKERS = {f".markerRecordedEventAttributes.details.{name}.payloads" for name in ("patch-data", "data")}
OLD, NEW = new_master_key("old"), new_master_key("new")


@pytest.fixture
async def server() -> AsyncIterator[WorkflowEnvironment]:
    async with await start_dev_server() as environment:
        yield environment


@dataclass(frozen=True)
class Place:
    """Where Everlink is started, again and again, with other keys."""

    settings: Settings
    sandbox: str

    def with_key(self, key: str | None) -> Settings:
        return self.settings.model_copy(update={"codec_key": SecretStr(key) if key is not None else None})


@pytest.fixture
async def place(tmp_path: Path, sqlite_template: Path, sandbox: str, server: WorkflowEnvironment) -> Place:
    shutil.copy(sqlite_template, tmp_path / "everlink.sqlite3")
    address = server.client.service_client.config.target_host
    return Place(settings_for(f"sqlite+aiosqlite:///{tmp_path}/everlink.sqlite3", tmp_path, sandbox, address), sandbox)


async def account_of(everlink: Everlink) -> httpx.AsyncClient:
    """A product's client for a linked account whose id says who it is."""
    product = await everlink.product(ORGANIZATION)
    await product.post("/api/v2/public/linked-account", json={"account_id": ACCOUNT})
    product.headers["linked_account_id"] = ACCOUNT
    return product


async def everything(client: Client) -> dict[str, bytes]:
    """All that the server keeps of each workflow and of its place in the lists, as it keeps it."""
    service, found = client.workflow_service, {}
    listed = await service.list_workflow_executions(ListWorkflowExecutionsRequest(namespace="default", page_size=1000))
    for info in listed.executions:
        described = await service.describe_workflow_execution(
            DescribeWorkflowExecutionRequest(namespace="default", execution=info.execution)
        )
        history = await service.get_workflow_execution_history(
            GetWorkflowExecutionHistoryRequest(namespace="default", execution=info.execution)
        )
        assert not history.next_page_token
        kept = info.SerializeToString() + described.SerializeToString() + history.SerializeToString()
        found[info.execution.workflow_id] = kept
    return found


async def unsealed(client: Client) -> set[str]:
    """Where payloads stand in all histories that are not sealed."""
    found: set[str] = set()
    async for listed in client.list_workflows():
        history = await client.get_workflow_handle(listed.id, run_id=listed.run_id).fetch_history()
        for event in history.events:
            found |= set(_clear(MessageToDict(event), ""))
    return found


def _clear(node: object, path: str) -> Iterator[str]:
    if isinstance(node, dict):
        if "encoding" in (metadata := node.get("metadata", {})) and b64decode(metadata["encoding"]) != ENCODING:
            yield path
        for name, value in node.items():
            yield from _clear(value, f"{path}.{name}")
    elif isinstance(node, list):
        for value in node:
            yield from _clear(value, path)


def told(kept: dict[str, bytes]) -> set[str]:
    return {secret for secret in SECRETS if any(secret.encode() in one for one in kept.values())}


async def refresh(product: httpx.AsyncClient, connection_id: str) -> int:
    """By the workflow; answers the generation."""
    refreshed = await product.post(f"/v1/connections/{connection_id}/refresh")
    assert refreshed.status_code == 200 and refreshed.json()["status"] == "active", refreshed.text
    return int(refreshed.json()["generation"])


@asynccontextmanager
async def again(place: Place, keys: str, headers: dict[str, str]) -> AsyncIterator[httpx.AsyncClient]:
    """Everlink is started once more, with other keys; a client of the same product."""
    async with (
        running(place.with_key(keys), place.sandbox) as everlink,
        httpx.AsyncClient(base_url=everlink.url, headers=headers, timeout=60) as product,
    ):
        yield product


async def live(everlink: Everlink, product: httpx.AsyncClient) -> str:
    """Connect, refresh, die, come back; answers the connection's id."""
    connection_id = await everlink.connect(product)
    first, second = [await refresh(product, connection_id) for _ in range(2)]
    assert second == first + 1
    async with everlink.customer() as ada:
        await ada.revoke()
    assert (await product.post(f"/v1/connections/{connection_id}/report", json={})).status_code == 202
    await until_status(product, connection_id, "reauth_required")
    async with everlink.customer() as ada:
        await ada.consent((await product.get(OAUTH_URL)).json()["auth_url"])
    await until_status(product, connection_id, "active")
    return connection_id


async def test_nothing_in_temporal_names_a_customer(place: Place, server: WorkflowEnvironment) -> None:
    settings = place.with_key(OLD)
    async with running(settings, place.sandbox) as everlink, Listener() as listener:
        product = await account_of(everlink)
        await listener.subscribe(product)
        connection_id = await live(everlink, product)
        await listener.wait_for("Connection Expired", "sandbox", ACCOUNT)
        assert (await product.delete(f"/v1/connections/{connection_id}")).status_code == 200
        removal = await product.delete(f"/v1/linked-accounts/{ACCOUNT}")
        await until_removed(product, removal.json()["id"])
    kept = await everything(server.client)
    assert {name.partition("/")[0] for name in kept} >= {"connection", "delivery", "removal"}
    assert told(kept) == set()
    places = await unsealed(server.client)
    names = {place.rpartition(".")[2] for place in places if ".searchAttributes." in place}
    assert names <= {key.name for key in SEARCH_ATTRIBUTES} | {PATCHED}
    assert {place for place in places if ".searchAttributes." not in place} <= MARKERS
    keys = codec_keys(settings)
    assert keys is not None
    pseudonym = Pseudonyms(keys).of(ACCOUNT)
    described = await server.client.get_workflow_handle(connection_workflow_id(connection_id)).describe()
    assert described.typed_search_attributes[LINKED_ACCOUNT] == pseudonym
    assert all(pseudonym.encode() in one for name, one in kept.items() if name.startswith(("delivery", "removal")))


async def test_it_is_switched_on_and_its_key_rotated_while_workflows_run(
    place: Place, server: WorkflowEnvironment
) -> None:
    async with running(place.with_key(None), place.sandbox) as everlink:
        product = await account_of(everlink)
        connection_id = await live(everlink, product)
        headers = dict(product.headers)
    assert told(await everything(server.client)) == {ACCOUNT, IDENTIFIER}
    for keys in (OLD, f"{NEW},{OLD}"):
        async with again(place, keys, headers) as product:
            await refresh(product, connection_id)


@pytest.mark.long  # Temporal lets a task that has failed wait
async def test_missing_key_is_named_and_nothing_is_lost(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    async with running(place.with_key(OLD), place.sandbox) as everlink:
        product = await account_of(everlink)
        connection_id = await live(everlink, product)
        headers = dict(product.headers)
    address = f"/v1/connections/{connection_id}/refresh"
    async with again(place, NEW, headers) as product:
        refused = await product.post(address)
        assert refused.status_code == 503, refused.text
        assert "EVERLINK_CODEC_KEY has no key with the id 'old'" in caplog.text
    async with again(place, f"{NEW},{OLD}", headers) as product, asyncio.timeout(60):
        while (answer := await product.post(address)).status_code == 503:
            await asyncio.sleep(0.5)  # Temporal tries the workflow's task again after a while
        assert answer.status_code == 200 and answer.json()["status"] == "active", answer.text


async def test_process_that_cannot_open_an_answer_says_so(
    place: Place, server: WorkflowEnvironment, caplog: pytest.LogCaptureFixture
) -> None:
    """The workers have been given the new key, this process has lost the one that they still seal with."""
    async with running(place.with_key(f"{OLD},{NEW}"), place.sandbox) as everlink:
        product = await account_of(everlink)
        connection_id = await live(everlink, product)
        everlink.made.temporal = await Client.connect(
            place.settings.temporal_address, plugins=[client_plugin(place.with_key(NEW))]
        )
        refused = await product.post(f"/v1/connections/{connection_id}/refresh")
    assert (refused.status_code, refused.json()["error_code"]) == (503, "codec_key_invalid"), refused.text
    assert "EVERLINK_CODEC_KEY has no key with the id 'old'" in caplog.text


async def test_callers_through_nexus_read_the_answers(place: Place, server: WorkflowEnvironment) -> None:
    """They know nothing of our codec."""
    async with running(place.with_key(OLD), place.sandbox) as everlink, their_namespace(server) as theirs:
        async with dead(everlink) as (product, connection_id):
            waits = await ask(theirs, "await_active", connection_id)
            waiting = await until_waited_for(theirs, waits)
            await reconnect(everlink, product, connection_id)
            standing = await asyncio.wait_for(waits.result(), 30)
            assert (standing["status"], standing["connection_id"]) == ("active", connection_id)
        status = await (await ask(theirs, "get_status", connection_id)).result()
        assert status["status"] == "active"
    kept = await everything(server.client)
    assert waiting in kept and told(kept) == set()
