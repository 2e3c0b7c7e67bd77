"""`FakeEverlink`: what a test has in the place of Everlink."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

import httpx

from everlink.client import Client
from everlink.plugin import EverlinkPlugin, Wait
from everlink.plugin.credentials import Handout, in_activity
from everlink.plugin.vending import Vending
from everlink.testing.api import URL, FakeApi
from everlink.testing.connection import FakeConnection
from everlink.testing.plugin import FakePlugin


class FakeEverlink:
    """Everlink in a test's process: the real client and the real plugin, and an API that speaks to no network.

        everlink = FakeEverlink()
        connection = everlink.connection("slack", linked_account_id="acme")
        connection.revoke()
        async with Worker(client, task_queue="q", workflows=[Sync], activities=[sync], plugins=[everlink.plugin()]):
            handle = await client.start_workflow(Sync.run, connection.id, id="sync", task_queue="q")
            await connection.until_waited_for()
            connection.reconnect()
            await handle.result()

    **Time.** The server of `WorkflowEnvironment.start_time_skipping()` skips only while a result is awaited, or during
    `environment.sleep()`. Until then a test drives its connections at its own pace, and `await handle.result()` skips
    what is left of the pause until the workflow looks again. Await it while nothing reconnects, and time runs away:
    `Wait.at_most(timedelta(days=2))` is over in a moment, `Wait.FOREVER` looks once for each hour that is skipped.

    `WorkflowEnvironment.start_local()` does as well. The first looks follow each other closely there, so that a
    reconnect is seen about as soon as it took to come.

    Workflows wait by the API, not through Nexus, which takes an endpoint and a worker; all else is the same.
    """

    def __init__(self) -> None:
        self._connections: dict[str, FakeConnection] = {}
        self._vendings: list[Vending] = []
        self.transport = httpx.MockTransport(FakeApi(self._connections).answer)
        """For code that speaks to Everlink's API itself, by an `httpx.AsyncClient`."""
        self._http = httpx.AsyncClient(transport=self.transport)
        self.client = Client(URL, "tk_fake", http=self._http)
        """For code that takes an `everlink.Client`; it has what concerns a single connection."""

    def connection(
        self,
        application: str,
        *,
        linked_account_id: str = "acme",
        fields: Iterable[str] = (),
        headers: Mapping[str, str] | None = None,
    ) -> FakeConnection:
        """A new connection, which is active.

        Args:
            application: its slug.
            linked_account_id: whose it is.
            fields: the names of what a key-based application asks its customers; none: an OAuth 2 application.
            headers: what a request to the provider carries, with the names of secrets in braces; by default
                `{"authorization": "Bearer {access_token}"}`, and nothing for a key-based application.
        """
        made = FakeConnection(self._forget, application, linked_account_id, fields, headers)
        self._connections[made.id] = made
        return made

    @property
    def connections(self) -> list[FakeConnection]:
        """All that were made, the oldest first."""
        return list(self._connections.values())

    def plugin(self, *, wait: Wait = Wait.FOREVER) -> EverlinkPlugin:
        """The plugin for a worker of the test, in the place of your `EverlinkPlugin(url, api_key)`."""
        made = FakePlugin(URL, self._http, self._connections, wait)
        self._vendings.append(made.vending)
        return made

    @contextmanager
    def activity(self) -> Iterator[None]:
        """`everlink.credential()` and `everlink.http()` work in this block: for activities without a worker.

        That is what `ActivityEnvironment` runs. A dead connection raises `ReauthRequired` there.
        """
        vending = Vending(self.client)
        self._vendings.append(vending)
        before = in_activity.set(Handout(vending))
        try:
            yield
        finally:
            in_activity.reset(before)

    def _forget(self, connection: FakeConnection) -> None:
        for vending in self._vendings:
            vending.forget(connection.id)
