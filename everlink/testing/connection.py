"""A connection whose life a test drives."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol
from uuid import uuid4

from everlink.answers import Refusal
from everlink.contract import AuthType, ConnectionStatus, Health, ProviderEventKind, ReauthReason
from everlink.models import Connection, Token

LIFE = timedelta(hours=1)
BEARER = {"authorization": "Bearer {access_token}"}


class Request(Protocol):
    """Of httpx, Starlette, Django and others."""

    @property
    def headers(self) -> Mapping[str, str]: ...


@dataclass(frozen=True)
class Report:
    """What somebody told Everlink of a connection."""

    generation: int | None  # of the credential that the provider refused, where it was named
    event: ProviderEventKind | None  # what the provider said of the grant, where it was no refusal


class FakeConnection:
    """A connection whose life a test drives; `FakeEverlink.connection` makes it, and it is active then.

    Whatever is done to it is known at once, to workers with the plugin as well: they keep none of its credentials.
    """

    def __init__(
        self,
        changed: Callable[[FakeConnection], None],
        application: str,
        linked_account_id: str,
        fields: Iterable[str],
        headers: Mapping[str, str] | None,
    ) -> None:
        self.id = f"con_{uuid4().hex}"
        self.application = application
        self.linked_account_id = linked_account_id
        self.reports: list[Report] = []  # the oldest first
        self.is_suspected = False  # a refusal was reported that has not been verified
        self._changed = changed
        self._field_names = tuple(fields)
        self._header_texts = headers if headers is not None else {} if self._field_names else BEARER
        self._status = ConnectionStatus.ACTIVE
        self._reason: ReauthReason | None = None
        self._since = self._connected_at = self._issued_at = datetime.now(UTC)
        self._sequence = 1
        self._generation = 1
        self._is_alive = True  # at the provider
        self._is_waited_for = False
        self._happened = asyncio.Event()  # for those who wait now; the next ones get another

    @property
    def status(self) -> ConnectionStatus:
        """As Everlink has it."""
        return self._status

    @property
    def is_alive(self) -> bool:
        """Whether the provider accepts the credential, which Everlink may not have noticed otherwise."""
        return self._is_alive

    @property
    def credential(self) -> Token:
        """What activities get while the connection is active."""
        secrets = {name: self._secret(name) for name in self._field_names or ("access_token",)}
        is_oauth = not self._field_names
        return Token(
            connection_id=self.id,
            access_token=secrets["access_token"] if is_oauth else None,
            token_type="Bearer" if is_oauth else None,
            fields=None if is_oauth else secrets,
            extra={},
            expires_at=self._issued_at + LIFE if is_oauth else None,
            ends_at=None,
            generation=self._generation,
            headers={name: text.format(**secrets) for name, text in self._header_texts.items()},
            secret_fields=list(self._field_names),
            refusals=[Refusal(status=401)],
        )

    def accepts(self, request: Request) -> bool:
        """For your stand-in of the provider: whether a request carries the present credential, and that one lives."""
        sent = {name.lower(): value for name, value in request.headers.items()}
        wanted = {name.lower(): value for name, value in self.credential.headers.items()}
        return self._is_alive and bool(wanted) and wanted.items() <= sent.items()

    def revoke(self, reason: ReauthReason = ReauthReason.ACCESS_REVOKED, *, noticed: bool = True) -> None:
        """Only the customer can help from now on.

        With `noticed=False` the provider refuses the credential, and Everlink believes that all is well until it asks
        the provider: when a refusal is reported (as `everlink.http` does), or a refresh is forced.
        """
        self._is_alive = False
        self._reason = reason
        if noticed:
            self.notice()
        else:
            self._happens()

    def reconnect(self) -> None:
        """The customer connects again: another credential, under the same id."""
        self._is_alive = True
        self._reason = None
        self._connected_at = datetime.now(UTC)
        self._becomes(ConnectionStatus.ACTIVE)
        self.rotate()

    def rotate(self) -> None:
        """Another credential takes the place of the present one, which the provider refuses from now on."""
        self._generation += 1
        self._issued_at = datetime.now(UTC)
        self._happens()

    def disconnect(self) -> None:
        """The end: it will not be active again."""
        self._is_alive = False
        self._reason = None
        self._becomes(ConnectionStatus.DISCONNECTED)

    async def until_waited_for(self, timeout: float = 30.0) -> None:
        """Until a workflow waits for this connection. Raises TimeoutError after so many (real) seconds."""
        async with asyncio.timeout(timeout):
            await self.until(lambda: self._is_waited_for)

    # What the API does

    def notice(self) -> None:
        """Everlink asks the provider."""
        self.is_suspected = False
        if not self._is_alive:
            self._becomes(ConnectionStatus.REAUTH_REQUIRED)

    def waited_for(self) -> None:
        """A workflow has looked, and looks again."""
        if self._status not in (ConnectionStatus.ACTIVE, ConnectionStatus.DISCONNECTED):
            self._is_waited_for = True
            self._happens()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Until something has happened after which this holds."""
        while not condition():
            await self._happened.wait()

    def answer(self) -> Connection:
        """How the API shows it."""
        return Connection(
            id=self.id,
            linked_account_id=self.linked_account_id,
            slug=self.application,
            identifier=f"{self.linked_account_id}@{self.application}.example",
            display_name=None,
            auth_type=AuthType.KEY_BASED if self._field_names else AuthType.OAUTH2,
            status=self._status,
            health=Health.OK,
            reason=self._reason if self._status is ConnectionStatus.REAUTH_REQUIRED else None,
            status_since=self._since,
            connected_at=self._connected_at,
            sequence=self._sequence,
            workflow_url="",
        )

    def _becomes(self, status: ConnectionStatus) -> None:
        if status is not self._status:
            self._status = status
            self._since = datetime.now(UTC)
            self._sequence += 1
            self._is_waited_for = False
        self._happens()

    def _happens(self) -> None:
        self._happened.set()
        self._happened = asyncio.Event()
        self._changed(self)

    def _secret(self, name: str) -> str:
        return f"fake-{name}-{self._generation}-of-{self.id}"
