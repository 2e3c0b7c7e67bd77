"""One attempt to deliver: what is sent, what counts, what is kept of the answer, and when the next is due."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from email.utils import format_datetime
from time import monotonic
from typing import Any

import pytest
from sqlalchemy import update
from standardwebhooks.webhooks import Webhook, WebhookVerificationError
from temporalio.testing import ActivityEnvironment

import providers.http
from activities.deliver import MAX_ANSWER_BYTES, DeliverActivities
from everlink.contract import AttemptOutcome, AttemptTask, CloseDeliveryTask
from providers.guard import TargetGuard
from providers.http import make_client
from providers.signature import new_secret
from store.database import Database, utc_now
from store.tables import DELIVERIES, DELIVERY_ATTEMPTS
from store.vault import Kind
from tests.activities.sending import ENDPOINT, Sending, sending_on
from tests.providers.server import HEAD, Behaviour, Server, abort, answering, answering_with

DEADLINE = 0.6
BOMB = gzip.compress(b"0" * 30_000_000)


@pytest.fixture
async def sending(sqlite_url: str) -> AsyncIterator[Sending]:
    database = Database(sqlite_url)
    async with make_client(TargetGuard(["127.0.0.1"])) as http:
        yield await sending_on(database, http)
    await database.close()


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A receiver that does not end is given up soon."""
    monkeypatch.setattr(providers.http, "DEADLINE_SECONDS", DEADLINE)
    monkeypatch.setattr(providers.http, "GLANCE_SECONDS", DEADLINE / 2)


def saying(status: int, *headers: str, body: bytes = b"") -> Behaviour:
    head = "".join(f"{line}\r\n" for line in (f"HTTP/1.1 {status} X", *headers, f"content-length: {len(body)}"))
    return answering(head.encode() + b"\r\n" + body)


def dripping(start: bytes, drop: bytes = b"") -> Behaviour:
    """Never comes to its end."""

    async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(start)
        for _ in range(1500):
            writer.write(drop)
            await writer.drain()
            await asyncio.sleep(0.02)

    return drip


def request_of(server: Server) -> tuple[dict[str, str], bytes]:
    """The latest request's headers, each of which was sent once, and its body."""
    head, _, body = server.seen[-1].partition(b"\r\n\r\n")
    lines = [line.partition(": ") for line in head.decode().split("\r\n")[1:]]
    headers = {name.lower(): value for name, _, value in lines}
    assert len(headers) == len(lines)
    return headers, body


async def told(sending: Sending, behaviour: Behaviour, task: AttemptTask | None = None) -> AttemptOutcome:
    """One attempt at a receiver that behaves so."""
    async with Server(behaviour) as url:
        await sending.subscribe(url)
        return await sending.deliver(task)


async def test_delivery_is_signed_and_the_attempt_kept(sending: Sending) -> None:
    server = Server(saying(202, "x-request: 7", body=b"thanks"))
    async with server as url:
        await sending.subscribe(url)
        task = await sending.due()
        outcome = await sending.deliver(task)
    assert outcome == AttemptOutcome(delivered=True, closed=True, note="HTTP 202")
    headers, body = request_of(server)
    assert Webhook(sending.secret).verify(body, headers)["event_id"] == headers["webhook-id"] == task.delivery.event_id
    row, answer = await sending.kept()
    assert (row.status, row.note, row.url, row.method, row.attempt) == (202, "HTTP 202", url, "POST", 1)
    assert 0 < row.seconds < 10 and row.request_headers.items() <= headers.items()
    assert set(row.request_headers) >= {"content-type", "webhook-id", "webhook-timestamp", "webhook-signature"}
    assert answer == {"headers": {"x-request": "7", "content-length": "6"}, "body": "thanks", "complete": True}
    assert (await sending.delivery()).status == "delivered"


@pytest.mark.parametrize("status", [300, 301, 307, 400, 401, 404, 429, 500, 503])
async def test_anything_but_a_2xx_is_a_failed_attempt(sending: Sending, status: int) -> None:
    thief = Server(saying(200))
    async with thief as elsewhere:
        outcome = await told(sending, saying(status, f"location: {elsewhere}", body=b"no"))
    assert outcome == AttemptOutcome(note=f"HTTP {status}") and thief.connections == 0
    row, answer = await sending.kept()
    assert row.status == status and answer is not None and answer["body"] == "no"
    delivery = await sending.delivery()
    assert (delivery.status, delivery.attempts) == ("scheduled", 1) and delivery.next_attempt_at is not None


@pytest.mark.parametrize(
    "behaviour", [abort, answering(b""), answering(b"SSH-2.0-OpenSSH_9.2\r\n")], ids=["reset", "closed", "not HTTP"]
)
async def test_attempt_without_an_answer_is_kept_as_such(sending: Sending, behaviour: Behaviour) -> None:
    outcome = await told(sending, behaviour)
    row, answer = await sending.kept()
    assert (row.status, answer, row.note) == (None, None, outcome.note)
    assert outcome.note == "the connection broke before the answer was complete"


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize(
    ("behaviour", "note"),
    [
        (dripping(b""), "the server did not answer in time"),
        (dripping(b"HTTP/1.1 20"), "the server did not answer in time"),
        (dripping(HEAD, b"x-more: and more\r\n"), "the server did not answer in time"),
        (dripping(b"", b"HTTP/1.1 102 Processing\r\n\r\n"), "the server did not answer in time"),
        (dripping(b"HTTP/1.1 503 X\r\ncontent-length: 900\r\n\r\n", b"x"), "HTTP 503"),
    ],
    ids=["before the head", "in the status line", "in the headers", "informational", "in the body of a failure"],
)
async def test_receiver_that_does_not_end_costs_one_attempt_bounded_in_time(
    sending: Sending, behaviour: Behaviour, note: str
) -> None:
    started = monotonic()
    outcome = await told(sending, behaviour)
    assert outcome == AttemptOutcome(note=note)
    row, _ = await sending.kept()
    assert row.seconds < DEADLINE + 1 and monotonic() - started < DEADLINE + 5


@pytest.mark.usefixtures("hurried")
async def test_receiver_that_hangs_in_the_tls_handshake_costs_no_more(sending: Sending) -> None:
    release = asyncio.Event()

    async def hang(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await release.wait()
        writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    await sending.subscribe(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
    assert (await sending.deliver()).note == "the server could not be reached"
    row, _ = await sending.kept()
    assert row.seconds < DEADLINE + 1
    release.set()
    server.close()


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize(
    "behaviour",
    [
        dripping(HEAD + b"content-length: 1000\r\n\r\n", b"x"),
        dripping(HEAD + b"transfer-encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
        dripping(HEAD + b"\r\n"),
        answering(HEAD + b"content-length: 9\r\n\r\ncut"),
        answering(HEAD + b"transfer-encoding: chunked\r\n\r\nnot a chunk"),
    ],
    ids=["drips", "chunks drip", "hangs", "cut", "broken"],
)
async def test_2xx_counts_when_its_head_is_whole_whatever_becomes_of_the_body(
    sending: Sending, behaviour: Behaviour
) -> None:
    assert (await told(sending, behaviour)).delivered
    row, answer = await sending.kept()
    assert row.seconds < DEADLINE + 1 and answer is not None and not answer["complete"]


@pytest.mark.parametrize(("status", "delivered"), [(200, True), (500, False)])
async def test_of_a_huge_answer_little_is_read_and_20_kb_kept(sending: Sending, status: int, delivered: bool) -> None:
    sent = 0

    async def pour(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 %d X\r\nx-a: b\r\ncontent-length: 104857600\r\n\r\n" % status)
        for _ in range(1600):
            writer.write(b"x" * 65536)
            await writer.drain()
            sent += 65536

    assert (await told(sending, pour)).delivered is delivered
    row, answer = await sending.kept()
    assert answer is not None and not answer["complete"] and answer["headers"]["x-a"] == "b"
    assert MAX_ANSWER_BYTES - 200 < len(answer["body"]) <= MAX_ANSWER_BYTES and len(row.answer) < 2 * MAX_ANSWER_BYTES
    assert 0 < sent < 20 * 1024 * 1024  # what the sockets between hold


async def test_headers_of_an_answer_count_among_what_is_kept(sending: Sending) -> None:
    many = [f"x-{number}: {'y' * 1000}" for number in range(60)]
    assert (await told(sending, saying(200, *many, body=b"z" * 500))).delivered
    _, answer = await sending.kept()
    assert answer is not None and len(json.dumps(answer)) < 1.2 * MAX_ANSWER_BYTES and not answer["complete"]


async def test_gzip_bomb_is_neither_asked_for_nor_inflated(sending: Sending) -> None:
    server = Server(answering_with(BOMB, HEAD + b"content-encoding: gzip\r\n"))
    async with server as url:
        await sending.subscribe(url)
        assert (await sending.deliver()).delivered
    assert request_of(server)[0]["accept-encoding"] == "identity"
    _, answer = await sending.kept()
    assert answer is not None and answer["body"].startswith(BOMB.decode(errors="replace")[:100])


async def test_while_a_former_secret_is_in_use_both_sign(sending: Sending) -> None:
    former = new_secret()
    server = Server(saying(500), saying(500))
    async with server as url:
        previous = await sending.seal(Kind.WEBHOOK_SECRET, former)
        until = utc_now() + timedelta(hours=1)
        await sending.subscribe(url, previous_secret=previous, previous_secret_until=until)
        task = await sending.due()
        await sending.deliver(task)
        headers, body = request_of(server)
        assert len(headers["webhook-signature"].split(" ")) == 2
        for secret in (sending.secret, former):
            Webhook(secret).verify(body, headers)
        with pytest.raises(WebhookVerificationError):
            Webhook(new_secret()).verify(body, headers)
        await sending.shared.webhooks.change(sending.scope, ENDPOINT, {"previous_secret_until": utc_now()})
        await sending.deliver(task)
        headers, body = request_of(server)
    Webhook(sending.secret).verify(body, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(former).verify(body, headers)


HOSTILE_HEADERS = {
    "Webhook-Id": "mine",
    "WEBHOOK-SIGNATURE": "v1,mine",
    "webhook-timestamp": "1",
    "Content-Type": "text/plain",
    "CONTENT-LENGTH": "0",
    "Content-Encoding": "gzip",
    "Host": "elsewhere.example",
    "X-Cobalt-Signature": "mine",
    "Accept-Encoding": "gzip",
    "Transfer-Encoding": "chunked",
    "Connection": "close",
    "Expect": "100-continue",
}


@pytest.mark.parametrize("sealed", [True, False], ids=["sealed", "of an old row"])
async def test_custom_header_is_sent_and_never_in_place_of_ours(sending: Sending, sealed: bool) -> None:
    custom = {**HOSTILE_HEADERS, "X-Mine": "planted"}
    values: dict[str, Any] = {"headers": {} if sealed else custom}
    if sealed:
        values["sealed_headers"] = await sending.seal(Kind.WEBHOOK_HEADERS, json.dumps(custom))
    values["legacy_secret"] = await sending.seal(Kind.LEGACY_WEBHOOK_SECRET, "the legacy secret")
    server = Server(saying(200))
    async with server as url:
        await sending.subscribe(url, **values)
        assert (await sending.deliver()).delivered
        headers, body = request_of(server)
        Webhook(sending.secret).verify(body, headers)
        assert headers["x-mine"] == "planted" and headers["host"] == f"127.0.0.1:{server.port}"
    assert headers["content-type"] == "application/json" and int(headers["content-length"]) == len(body)
    assert "mine" not in headers.values() and not {"expect", "transfer-encoding", "content-encoding"} & set(headers)
    row, _ = await sending.kept()
    assert "planted" not in repr(row)  # its value may be a secret


async def test_answer_that_says_back_what_it_was_sent_is_kept_sealed(sending: Sending) -> None:
    await told(sending, saying(500, "x-said: planted", body=b"you sent planted"))
    row, answer = await sending.kept()
    assert "planted" in repr(answer) and "planted" not in repr(row) and b"planted" not in row.answer


@pytest.mark.parametrize("value", ["a\r\nx-smuggled: b", "a\nb", "a\r\n\r\nPOST / HTTP/1.1\r\n", "nul\0"])
async def test_custom_header_with_a_line_of_its_own_is_not_sent(sending: Sending, value: str) -> None:
    server = Server(saying(200))
    async with server as url:
        await sending.subscribe(url, headers={"x-a": value})
        assert (await sending.deliver()).note == "the request cannot be written"
    assert server.seen == []


ASKED = [
    ("0", 5.0),
    ("3", 5.0),
    ("900", 900.0),
    (" 900 ", 900.0),
    ("86401", 86400.0),
    ("99999999999999999999999", 86400.0),
    ("-5", 5.0),
    ("1e9", 5.0),
    ("inf", 5.0),
    ("soon", 5.0),
    ("", 5.0),
    ("900, 900", 5.0),
    ("Thu, 01 Jan 1970 00:00:00 GMT", 5.0),
    ("Fri, 31 Dec 9999 23:59:59 GMT", 86400.0),
    ("Fri, 31 Feb 2040 23:59:59 GMT", 5.0),
]


@pytest.mark.parametrize(("asked", "wait"), ASKED, ids=[repr(asked) for asked, _ in ASKED])
async def test_endpoint_is_left_alone_for_as_long_as_it_asks_within_a_day(
    sending: Sending, asked: str, wait: float
) -> None:
    before = utc_now()
    outcome = await told(sending, saying(503, f"retry-after: {asked}"))
    row = await sending.delivery()
    assert outcome.wait(5.0) == wait  # what the workflow waits, and what the row says
    assert before + timedelta(seconds=wait) <= row.next_attempt_at <= utc_now() + timedelta(seconds=wait)


async def test_endpoint_may_name_the_moment(sending: Sending) -> None:
    moment = utc_now() + timedelta(minutes=30)
    outcome = await told(sending, saying(429, f"retry-after: {format_datetime(moment, usegmt=True)}"))
    assert 1700 < outcome.wait(5.0) <= 1800
    assert abs((await sending.delivery()).next_attempt_at - moment) < timedelta(seconds=5)


async def test_after_the_last_attempt_nothing_is_due_whatever_the_endpoint_asks(sending: Sending) -> None:
    async with Server(saying(503, "retry-after: 60")) as url:
        await sending.subscribe(url)
        outcome = await sending.deliver(await sending.due(attempt=10, next_delay=None))
    row = await sending.delivery()
    assert outcome.closed and (row.status, row.attempts, row.next_attempt_at) == ("failed", 10, None)


async def test_gone_endpoint_is_disabled_and_tried_no_more(sending: Sending) -> None:
    server = Server(saying(410), saying(200))
    async with server as url:
        await sending.subscribe(url)
        waiting = await sending.due()
        outcome = await sending.deliver()
        assert outcome.stop and outcome.closed and outcome.note == "HTTP 410; the endpoint was disabled"
        again = await sending.deliver(waiting)
    assert again.stop and again.closed and again.note == "the endpoint is disabled"
    assert len(server.seen) == 1 and not (await sending.endpoint()).is_enabled


async def test_attempt_that_ends_five_days_of_failures_is_the_last_one(sending: Sending) -> None:
    async with Server(saying(503)) as url:
        long_ago, lately = utc_now() - timedelta(days=6), utc_now() - timedelta(hours=20)
        await sending.subscribe(url, failing_since=long_ago, failed_at=lately)
        outcome = await sending.deliver()
    assert outcome.stop and outcome.closed and outcome.note == "HTTP 503; the endpoint was disabled"
    assert (await sending.endpoint()).disabled_reason == "failing"
    row = await sending.delivery()
    assert (row.status, row.last_note) == ("failed", outcome.note)


async def test_removed_endpoint_gets_nothing_more(sending: Sending) -> None:
    server = Server(saying(200))
    async with server as url:
        await sending.subscribe(url)
        task = await sending.due()
        await sending.shared.webhooks.remove(sending.scope, ENDPOINT)
        assert (await sending.deliver(task)).stop
    assert server.connections == 0


async def test_older_round_sends_nothing(sending: Sending) -> None:
    server = Server(saying(200))
    async with server as url:
        await sending.subscribe(url)
        task = await sending.due()
        async with sending.shared.database.writing() as writing:
            await writing.execute(update(DELIVERIES).values(round=1))
        outcome = await sending.deliver(task)
    assert outcome.stop and outcome.closed and server.connections == 0
    assert await sending.rows(DELIVERY_ATTEMPTS) == []


async def test_delivery_to_a_disabled_endpoint_ends_without_an_attempt(sending: Sending) -> None:
    await sending.subscribe("http://127.0.0.1:9/")
    task = await sending.due()
    await sending.shared.webhooks.change(sending.scope, ENDPOINT, {"is_enabled": False})
    outcome = await sending.deliver(task)
    assert outcome == AttemptOutcome(stop=True, closed=True, note="the endpoint is disabled")
    row = await sending.delivery()
    assert (row.status, row.attempts, row.last_note) == ("failed", 0, "the endpoint is disabled")
    assert row.next_attempt_at is None


async def test_delivery_that_an_older_worker_left_open_is_closed(sending: Sending) -> None:
    await sending.subscribe("http://127.0.0.1:9/")
    task = await sending.due()
    closing = CloseDeliveryTask(delivery=task.delivery, delivered=False, note="the endpoint is disabled")
    for _ in range(2):
        await ActivityEnvironment().run(DeliverActivities(sending.shared).close_delivery, closing)
        row = await sending.delivery()
        assert (row.status, row.attempts, row.last_note) == ("failed", 0, "the endpoint is disabled")
        assert row.next_attempt_at is None
