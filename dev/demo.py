"""`make demo`: one connection's life and one key's, on real parts, each step observed; exits 0 only if all were.

Uses the stack that `make run` has started; where none runs, starts one and stops it at the end.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import httpx

from dev.config import StackConfig, StackError, running_stack, say
from dev.listener import Listener
from dev.stack import a_stack
from everlink import Client, EverlinkError
from everlink.contract import SUBSCRIBABLE, ConnectionStatus, ReauthReason
from everlink.models import Connected, Connection, Token
from sandbox.customer import Customer


class StepFailed(Exception):
    """A step was not observed."""


@dataclass
class Demo:
    """What the steps share."""

    everlink: Client
    sandbox: str
    listener: Listener
    account: str
    config: StackConfig
    started: float = field(default_factory=time.monotonic)
    pages: dict[str, str] = field(default_factory=dict)

    async def step(self, words: str, work: Awaitable[str]) -> None:
        """Observe one step, and say how long it took; a failing one ends the demo."""
        began = time.monotonic()
        try:
            seen = await work
        except EverlinkError as error:
            raise StepFailed(f"step failed: {words}: HTTP {error.status} {error.error_code} {error}") from None
        except (StepFailed, httpx.HTTPError, TimeoutError, PermissionError) as error:
            why = str(error) or type(error).__name__
            raise StepFailed(f"step failed: {words}: {why}") from None
        now, took = datetime.now().strftime("%H:%M:%S"), time.monotonic() - began
        say(f"{now}  {took:6.2f} s  {words:<64} {seen}".rstrip())

    # The product's side

    async def application(self, slug: str) -> Connected:
        """An application as its customer sees it."""
        return next(one for one in await self.everlink.linked_accounts.applications(self.account) if one.slug == slug)

    async def connection(self, slug: str) -> Connection:
        mine = self.everlink.connections.all(linked_account_id=self.account, application=slug)
        found = await anext(mine, None)
        if found is None:
            raise StepFailed(f"{slug} has no connection")
        self.pages[slug] = found.workflow_url
        return found

    async def token(self, slug: str) -> Token:
        return await self.everlink.connections.token((await self.connection(slug)).id, min_ttl=0)

    async def until(self, what: str, seconds: float, check: Callable[[], Awaitable[Any]]) -> Any:
        """Look again until it holds."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if found := await check():
                return found
            await asyncio.sleep(0.1)
        raise StepFailed(f"{what} was not seen within {seconds:g} s")

    async def works(self, token: Token) -> None:
        """The provider's resource endpoint accepts what the API gave."""
        async with httpx.AsyncClient(trust_env=False) as provider:
            if token.fields is None:
                path, headers = "/api/me", {"authorization": f"Bearer {token.access_token}"}
            else:
                path, headers = "/api/key/me", {"x-api-key": token.fields["api_key"]}
            response = await provider.get(f"{self.sandbox}{path}", headers=headers)
        if response.status_code != 200:
            raise StepFailed(f"the sandbox answered HTTP {response.status_code} to the token")

    # The steps

    async def connect(self, customer: Customer) -> str:
        page = await customer.consent(await self.everlink.linked_accounts.connect_link(self.account, "sandbox"))
        if page.status_code != 200 or "Connected" not in page.text:
            raise StepFailed(f"the page said HTTP {page.status_code}")
        connection = await self.connection("sandbox")
        await self.works(await self.token("sandbox"))
        return f"{connection.id[:12]}..., token accepted"

    async def refreshed(self, generation: int) -> str:
        async def newer() -> Token | None:
            token = await self.token("sandbox")
            return token if token.generation >= generation else None

        token = await self.until(f"generation {generation}", 60, newer)
        await self.works(token)
        return f"generation {token.generation}, token accepted"

    async def kill_worker(self) -> str:
        info = running_stack(self.config.state)
        if info is None:
            raise StepFailed("the stack is not running")
        old = info.pids["worker"]
        os.kill(old, signal.SIGKILL)

        async def restarted() -> int | None:
            now = running_stack(self.config.state)
            pid = now.pids.get("worker") if now else None
            return pid if pid and pid != old else None

        return f"pid {old} killed, pid {await self.until('a new worker', 30, restarted)} works"

    async def flagged(self, slug: str, reason: ReauthReason) -> str:
        async def is_flagged() -> bool:
            application = await self.application(slug)
            return application.connected and application.reauth_required

        await self.until("reauth_required", 60, is_flagged)
        connection = await self.connection(slug)
        if connection.reason is not reason:
            raise StepFailed(f"the reason is {connection.reason}, not {reason}")
        return f"reauth_required, {reason}"

    async def announced(self, event: str, slug: str) -> str:
        body = await self.listener.wait_for(event, slug, self.account)
        return f"signature verified, sequence {body['sequence']}"

    async def reconnect(self, customer: Customer) -> str:
        before = await self.connection("sandbox")
        page = await customer.consent(await self.everlink.connections.reconnect_link(before.id))
        after, application = await self.connection("sandbox"), await self.application("sandbox")
        if page.status_code != 200 or after.id != before.id or application.reauth_required:
            raise StepFailed(f"HTTP {page.status_code}, status {after.status}")
        await self.works(await self.token("sandbox"))
        return "same id, flag cleared, token accepted"

    async def save_key(self, key: str, old_id: str | None = None) -> str:
        await self.everlink.linked_accounts.save_key(self.account, "sandbox-key", {"api_key": key})
        connection, application = await self.connection("sandbox-key"), await self.application("sandbox-key")
        if application.reauth_required or (old_id and connection.id != old_id):
            raise StepFailed("the flag is set or the id has changed")
        await self.works(await self.token("sandbox-key"))
        return "same id, flag cleared, key accepted" if old_id else f"{connection.id[:12]}..., key accepted"

    async def disconnect(self, customer: Customer) -> str:
        connection = await self.connection("sandbox")
        living = await customer.live_tokens()
        ended = await self.everlink.connections.disconnect(connection.id)
        if ended.status is not ConnectionStatus.DISCONNECTED:
            raise StepFailed(f"the status is {ended.status}")

        async def revoked() -> bool:
            return (await customer.live_tokens())["refresh"] < living["refresh"]

        async def has_receipt() -> bool:
            timeline = await self.everlink.connections.timeline(connection.id)
            return any(item.note == "revoked at the provider" for item in timeline.transitions)

        await self.until("the revocation at the sandbox", 20, revoked)
        await self.until("the receipt", 20, has_receipt)
        try:
            await self.everlink.connections.token(connection.id)
        except EverlinkError as error:
            if error.status == 409:
                return "revoked at the sandbox, token gone"
            raise
        raise StepFailed("the token is still given")


async def play(demo: Demo, ada: Customer) -> None:
    """The story, in order."""
    key_id = await _first(demo, ada)
    await demo.step("worker killed with -9, restarted by its supervisor", demo.kill_worker())
    await demo.step("refreshed by itself, second time", demo.refreshed(3))
    await ada.revoke()
    await demo.step(
        "customer revoked at the sandbox; the next refresh found it",
        demo.flagged("sandbox", ReauthReason.ACCESS_REVOKED),
    )
    await demo.step('"Connection Expired" received', demo.announced("Connection Expired", "sandbox"))
    await demo.step("customer reconnected", demo.reconnect(ada))
    await demo.step('"Connection Reauthenticated" received', demo.announced("Connection Reauthenticated", "sandbox"))
    await ada.delete_key(key_id)
    await demo.step(
        "API key deleted at the sandbox; the probe found it",
        demo.flagged("sandbox-key", ReauthReason.CREDENTIALS_INVALID),
    )
    await demo.step('"Connection Expired" received', demo.announced("Connection Expired", "sandbox-key"))
    old_id = (await demo.connection("sandbox-key")).id
    _, new_key = await ada.create_key()
    await demo.step("customer gave a new API key", demo.save_key(new_key, old_id))
    await demo.step("customer disconnected", demo.disconnect(ada))
    await demo.step('"Connection Deleted" received', demo.announced("Connection Deleted", "sandbox"))


async def _first(demo: Demo, ada: Customer) -> int:
    await demo.step("connected by authorization code with PKCE", demo.connect(ada))
    await demo.step('"Connection Created" received', demo.announced("Connection Created", "sandbox"))
    key_id, key = await ada.create_key()
    await demo.step("connected an API key", demo.save_key(key))
    await demo.step("refreshed by itself", demo.refreshed(2))
    return key_id


async def run(config: StackConfig) -> None:
    async with a_stack(config) as info, Listener() as listener:
        seed = (config.state / "dev.json").read_text()
        api_key = httpx.Response(200, text=seed).json()["api_key"]
        account = f"demo-{datetime.now():%H%M%S}"
        async with (
            httpx.AsyncClient(trust_env=False) as http,  # everything is on this machine
            Client(info.addresses.api, api_key, http=http) as everlink,
            Customer(info.addresses.sandbox, "ada", "ada-password") as ada,
        ):
            await everlink.linked_accounts.save(account)
            endpoint = await everlink.webhook_endpoints.add(listener.url, SUBSCRIBABLE)
            listener.trust(endpoint.secret)
            demo = Demo(everlink, info.addresses.sandbox, listener, account, config)
            say(f"\n{'time':<9} {'took':>7}   what happened")
            try:
                await play(demo, ada)
            finally:
                await everlink.webhook_endpoints.remove(endpoint.id)
            took = time.monotonic() - demo.started
            say(f"\nEvery step was observed, in {took:.0f} s. Temporal's Web UI has both lives:")
            for slug, page in demo.pages.items():
                say(f"  {slug:<12} {page}")


def main() -> int:
    try:
        asyncio.run(run(StackConfig.from_env()))
    except (StepFailed, StackError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
