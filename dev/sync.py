"""`make sync`: the workflow of examples/sync meets a dead connection, waits for its customer, and goes on.

Uses the stack that `make run` has started; where none runs, starts one and stops it at the end. Without a terminal the
customer reconnects by itself.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

import httpx
from temporalio.api.sdk.v1 import WorkflowMetadata
from temporalio.client import Client as Temporal
from temporalio.client import WorkflowHandle
from temporalio.common import WorkflowIDConflictPolicy

from dev.config import ROOT, StackConfig, StackError, StackInfo, StackInterrupted, say
from dev.namespaces import a_namespace
from dev.stack import a_stack
from everlink import Client, EverlinkError
from everlink.contract import ConnectionStatus
from everlink.models import Connection
from sandbox.contacts import CONTACTS, PAGE_SIZE
from sandbox.customer import Customer

NAMESPACE = "product"
TASK_QUEUE = "sync"
ACCOUNT = "acme"
PAGES_BEFORE = 3  # access is revoked
SECONDS = 60  # for anything but the reader


class SyncFailed(Exception):
    """What was to be seen was not."""


@dataclass
class Story:
    """What is shown, in order."""

    everlink: Client
    ada: Customer
    connection: Connection
    sync: WorkflowHandle[Any, int]
    page: str  # of the workflow in Temporal's Web UI
    shown: str = ""  # the first line that the workflow says of itself

    async def play(self) -> None:
        tell("the sync begins", self.page)
        await self.until(f"{PAGES_BEFORE} pages", lambda: self.synced >= PAGES_BEFORE * PAGE_SIZE)
        await self.ada.revoke()
        tell("Ada takes access away at the provider, which tells nobody")
        await self.until("a wait", lambda: self.waits)
        began = time.monotonic()
        await self.reconnect()
        await self.until("the end of the wait", lambda: not self.waits)
        waited = time.monotonic() - began
        await self.until("all pages", lambda: self.synced == len(CONTACTS))
        count = await self.sync.result()
        if count != len(CONTACTS):
            raise SyncFailed(f"{count} contacts are not {len(CONTACTS)}: a page was lost, or came twice")
        tell(f"done: {count} contacts, each page once, and {waited:.1f} s of waiting for Ada")

    @property
    def waits(self) -> bool:
        return self.shown.startswith("Waiting for ")

    @property
    def synced(self) -> int:
        """How many contacts, as far as the workflow says so now."""
        count, _, words = self.shown.partition(" ")
        return int(count) if words == "contacts synced" else 0

    async def until(self, what: str, seen: Callable[[], bool]) -> None:
        """Tell whatever the workflow says of itself, until this is seen."""
        with suppress(TimeoutError):
            async with asyncio.timeout(SECONDS):
                while not seen():
                    await asyncio.sleep(0.1)
                    shown = await self.details()
                    if shown and shown != self.shown:
                        self.shown = shown
                        tell(shown)
                return
        raise SyncFailed(f"{what} was not seen within {SECONDS} s; see {self.page}")

    async def details(self) -> str:
        """The first line of what the Web UI shows as the workflow's current details."""
        metadata = await self.sync.query("__temporal_workflow_metadata", result_type=WorkflowMetadata)
        first, _, _ = str(metadata.current_details).partition("\n")
        return first

    async def reconnect(self) -> None:
        """By the reader's browser, or else by Enter; without a terminal, at once."""
        if sys.stdin.isatty():
            link = await self.everlink.connections.reconnect_link(self.connection.id)
            say(f"\n          See it wait: {self.page}/user-metadata")
            say(f"          Be Ada ({self.ada.username} / {self.ada.password}) and reconnect: {link}")
            say("          Or press Enter, and she does it by herself.\n")
            if await self.in_a_browser():
                return
        link = await self.everlink.connections.reconnect_link(self.connection.id)
        await self.ada.consent(link)
        tell("Ada has reconnected")

    async def in_a_browser(self) -> bool:
        """Whether somebody has reconnected before Enter was pressed."""
        pressed = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_reader(sys.stdin, pressed.set)
        try:
            while not pressed.is_set():
                connection = await self.everlink.connections.get(self.connection.id)
                if connection.status is ConnectionStatus.ACTIVE:
                    tell("Ada has reconnected")
                    return True
                with suppress(TimeoutError):
                    await asyncio.wait_for(pressed.wait(), 0.5)
        finally:
            loop.remove_reader(sys.stdin)
        sys.stdin.readline()
        return False


def tell(words: str, more: str = "") -> None:
    say(f"{datetime.now():%H:%M:%S}  {words:<24} {more}".rstrip())


async def connect(everlink: Client, ada: Customer) -> Connection:
    """Ada's account at the sandbox, for the linked account of `make run`."""
    page = await ada.consent(await everlink.linked_accounts.connect_link(ACCOUNT, "sandbox"))
    active = everlink.connections.all(linked_account_id=ACCOUNT, application="sandbox", status=ConnectionStatus.ACTIVE)
    async for connection in active:
        if connection.identifier.startswith(f"{ada.username}@"):
            return connection
    raise SyncFailed(f"{ACCOUNT} could not be connected (HTTP {page.status_code})")


async def start(temporal: Temporal, connection: Connection) -> WorkflowHandle[Any, int]:
    """As the product does it. One that an interrupted run has left is over."""
    return await temporal.start_workflow(
        "SyncContacts",
        connection.id,
        id=f"sync-{ACCOUNT}",
        task_queue=TASK_QUEUE,
        result_type=int,
        id_conflict_policy=WorkflowIDConflictPolicy.TERMINATE_EXISTING,
    )


@asynccontextmanager
async def the_worker(config: StackConfig, info: StackInfo, api_key: str) -> AsyncIterator[Process]:
    """The product's worker. What it logs stands beside the logs of the stack."""
    database = config.state.resolve() / "sync.sqlite3"
    database.unlink(missing_ok=True)
    environment = {
        "EVERLINK_URL": info.addresses.api,
        "EVERLINK_API_KEY": api_key,
        "SANDBOX_URL": info.addresses.sandbox,
        "SYNC_DATABASE": str(database),
        "TEMPORAL_ADDRESS": info.addresses.temporal,
        "TEMPORAL_NAMESPACE": NAMESPACE,
        "no_proxy": "127.0.0.1",  # all that it talks to is on this machine
    }
    with (config.state / "logs" / "sync.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "examples.sync.worker",
            cwd=ROOT,
            env=os.environ | environment,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C is for us to pass on
        )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGINT)
        await process.wait()


async def run(config: StackConfig) -> None:
    async with a_stack(config) as info:
        api_key = json.loads((config.state / "dev.json").read_text())["api_key"]
        temporal = await a_namespace(info.addresses.temporal, NAMESPACE)
        async with (
            httpx.AsyncClient(trust_env=False) as http,  # everything is on this machine
            Client(info.addresses.api, api_key, http=http) as everlink,
            Customer(info.addresses.sandbox, "ada", "ada-password") as ada,
            the_worker(config, info, api_key),
        ):
            say("")
            connection = await connect(everlink, ada)
            tell(f"{ACCOUNT} is connected", connection.id)
            sync = await start(temporal, connection)
            run_path = f"{quote(sync.id, safe='')}/{sync.result_run_id}"
            page = f"{info.addresses.web_ui}/namespaces/{NAMESPACE}/workflows/{run_path}"
            await Story(everlink, ada, connection, sync, page).play()


def main() -> int:
    try:
        asyncio.run(run(StackConfig.from_env()))
    except (StackInterrupted, KeyboardInterrupt):
        say("Everything is stopped.")
    except (SyncFailed, StackError, EverlinkError, httpx.HTTPError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
