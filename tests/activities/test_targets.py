"""No delivery opens a socket to an address that is not public, whatever its endpoint's name or an answer says.

These tests own the resolver and the connector.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import timedelta

import httpcore
import pytest

from providers.guard import TargetGuard
from providers.http import make_client
from store.database import Database, utc_now
from store.tables import DELIVERY_ATTEMPTS
from tests.activities.sending import ENDPOINT, Sending, sending_on

PUBLIC = "93.184.216.34"
REFUSED = "the address is not allowed"
NAMES = {
    "fine.example": [PUBLIC],
    "mixed.example": [PUBLIC, "10.0.0.1"],
    "mixed-six.example": ["2606:4700::1111", "::1"],
    "mapped.example": ["::ffff:127.0.0.1"],
    "nat64.example": ["64:ff9b::7f00:1"],
    "6to4.example": ["2002:7f00:1::"],
    "teredo.example": ["2001:0:7f00:1::"],
    "metadata.example": ["169.254.169.254"],
    "nowhere.example": [],
    "localhost": ["127.0.0.1", "::1"],
    "localhost.": ["127.0.0.1"],
}


class Net:
    """The resolver and the connector. An address that is written out means itself, as inet_aton reads it, too."""

    def __init__(self) -> None:
        self.names = dict(NAMES)
        self.opened: list[tuple[str, int]] = []
        self.answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"

    async def resolve(self, host: str, port: int) -> list[str]:
        home = dict.fromkeys(("2130706433", "127.1", "0x7f.1", "127.0.0.1."), "127.0.0.1")
        return self.names.get(host, [{**home, "0": "0.0.0.0"}.get(host, host)])

    async def connect(
        self, backend: object, host: str, port: int, *_: object, **__: object
    ) -> httpcore.AsyncNetworkStream:
        self.opened.append((host, port))
        return httpcore.AsyncMockStream([self.answer])


@pytest.fixture
def net(monkeypatch: pytest.MonkeyPatch) -> Net:
    made = Net()

    async def connect(
        backend: object, host: str, port: int, *more: object, **named: object
    ) -> httpcore.AsyncNetworkStream:
        return await made.connect(backend, host, port)

    monkeypatch.setattr(httpcore.AnyIOBackend, "connect_tcp", connect)
    return made


@pytest.fixture
async def sending(sqlite_url: str, net: Net) -> AsyncIterator[Sending]:
    database = Database(sqlite_url)
    async with make_client(TargetGuard(resolver=net.resolve)) as http:
        yield await sending_on(database, http)
    await database.close()


async def test_public_address_is_reached(sending: Sending, net: Net) -> None:
    await sending.subscribe("http://fine.example/hook")
    assert (await sending.deliver()).delivered and net.opened == [(PUBLIC, 80)]


@pytest.mark.parametrize(
    "url",
    [
        "http://2130706433/",
        "http://127.1/",
        "http://0x7f.1/",
        "http://0/",
        "http://127.0.0.1/",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[64:ff9b::7f00:1]/",
        "http://[2002:7f00:1::]/",
        "http://mapped.example/",
        "http://nat64.example/",
        "http://6to4.example/",
        "http://teredo.example/",
        "https://mixed.example/",
        "https://mixed-six.example/",
        "https://metadata.example/",
        "http://nowhere.example/",
        "http://169.254.169.254/latest/meta-data/",
        "http://fine.example@127.0.0.1/",
        "http://fine.example:80@localhost/",
        "http://fine.example:22/",
        "http://fine.example:8080/",
        "https://localhost./",
        "http://LOCALHOST/",
        "http://127.0.0.1./",
        "http://①②⑦.⓪.⓪.①/",
        "ftp://fine.example/",
        "file:///etc/passwd",
        "//fine.example/",
        "",
    ],
)
async def test_no_socket_is_opened_to_a_refused_address(sending: Sending, net: Net, url: str) -> None:
    """The row may be older than the rule that would refuse it today."""
    await sending.subscribe(url)
    outcome = await sending.deliver()
    assert net.opened == [] and not outcome.delivered and not outcome.stop
    [attempt] = await sending.rows(DELIVERY_ATTEMPTS)
    assert attempt.status is None and attempt.note in (
        REFUSED,
        "the request cannot be written",
        "the server could not be reached",
    )


async def test_name_that_means_another_address_by_the_retry_is_refused_then(sending: Sending, net: Net) -> None:
    net.answer = b"HTTP/1.1 503 X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    await sending.subscribe("http://fine.example/")
    task = await sending.due()
    assert (await sending.deliver(task)).note == "HTTP 503"
    for rebound in (["127.0.0.1"], [PUBLIC, "169.254.169.254"]):
        net.names["fine.example"] = rebound
        assert (await sending.deliver(task.model_copy(update={"attempt": task.attempt + 1}))).note == REFUSED
    assert net.opened == [(PUBLIC, 80)]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirect_to_a_metadata_address_is_a_failure(sending: Sending, net: Net, status: int) -> None:
    target = "http://169.254.169.254/latest/meta-data/iam/"
    net.answer = f"HTTP/1.1 {status} X\r\nlocation: {target}\r\ncontent-length: 0\r\n\r\n".encode()
    await sending.subscribe("http://fine.example/")
    assert (await sending.deliver()).note == f"HTTP {status}"
    assert net.opened == [(PUBLIC, 80)]
    _, answer = await sending.kept()
    assert answer is not None and json.dumps(answer).count(target) == 1  # to be read, not to be followed


async def test_endpoint_that_is_refused_for_five_days_is_disabled(sending: Sending, net: Net) -> None:
    began, lately = utc_now() - timedelta(days=5), utc_now() - timedelta(hours=20)
    await sending.subscribe("http://metadata.example/", failing_since=began, failed_at=lately)
    assert (await sending.deliver()).stop
    endpoint = await sending.endpoint()
    assert (endpoint.id, endpoint.is_enabled, net.opened) == (ENDPOINT, False, [])
