"""docs/webhooks.md: what it shows runs, and what it lists is what there is."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import accumulate
from pathlib import Path
from typing import Any

import httpx
import pytest

from everlink.contract import (
    AuthType,
    ConnectionRef,
    Environment,
    EventType,
    Health,
    ReauthReason,
    Reminder,
    Transition,
)
from providers.signature import new_secret, sign
from store.connections import event_body
from tests.docs.node import install, run
from tests.docs.webhooks_md import TEXT, blocks, python, table
from workflows.delivery import DELAYS

SECRET, OTHER = new_secret(), new_secret()
BODY = json.dumps({"event": "Connection Expired", "identifier": "Zoë ✓", "sequence": 2}, ensure_ascii=False)
EXAMPLES = [json.loads(block) for block in blocks("json")]
# Given what `told` holds; a body is bytes, as a receiver gets it.
JUDGE = """
import { readFileSync } from "node:fs";
const cases = JSON.parse(readFileSync(0));
console.log(JSON.stringify(cases.map((one) => received(one.secret, one.headers, Buffer.from(one.body)))));
"""
SERVE = """
const server = receiver(process.argv[2], async (event) => {
  if (event.fail) throw new Error("it cannot be kept");
  console.log(JSON.stringify(event));
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
"""


@dataclass
class Sent:
    """A request as it comes to a receiver."""

    headers: dict[str, str]
    body: str = BODY
    secret: str = SECRET
    is_ours: bool = False


def signed(*secrets: str, age: float = 0, body: str = BODY) -> dict[str, str]:
    moment = int(time.time() - age)
    signatures = [sign(secret.encode(), "event-1", moment, body.encode()) for secret in secrets]
    return {
        "webhook-id": "event-1",
        "webhook-timestamp": str(moment),
        "webhook-signature": " ".join(signatures),
        "content-type": "application/json",
    }


def requests() -> dict[str, Sent]:
    ours = signed(SECRET)
    return {
        "ours": Sent(ours, is_ours=True),
        "while a new secret signs beside ours": Sent(signed(OTHER, SECRET), is_ours=True),
        "while our new secret signs beside another": Sent(signed(SECRET, OTHER), is_ours=True),
        "four minutes old": Sent(signed(SECRET, age=240), is_ours=True),
        "six minutes old": Sent(signed(SECRET, age=360)),
        "six minutes ahead": Sent(signed(SECRET, age=-360)),
        "signed with another secret": Sent(signed(OTHER)),
        "another body": Sent(ours, body=BODY.replace("2", "3")),
        "another id": Sent(ours | {"webhook-id": "event-2"}),
        "another time": Sent(ours | {"webhook-timestamp": str(int(time.time()) + 1)}),
        "a time that is none": Sent(ours | {"webhook-timestamp": "soon"}),
        "a signature that is none": Sent(ours | {"webhook-signature": "v1"}),
        "a signature that is cut": Sent(ours | {"webhook-signature": ours["webhook-signature"][:-4]}),
        "no signature": Sent(ours | {"webhook-signature": ""}),
        "no headers": Sent({}),
    }


@pytest.mark.parametrize("block", blocks("python", "def received"), ids=["with the package", "by hand"])
def test_python_takes_what_is_ours_and_nothing_else(block: str) -> None:
    received = python(block)["received"]
    for name, sent in requests().items():
        event = received(sent.secret, sent.headers, sent.body.encode())
        assert event == (json.loads(BODY) if sent.is_ours else None), name


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("node")
    install(folder)
    return folder


@pytest.mark.parametrize("block", blocks("js", "function received"), ids=["with the package", "by hand"])
def test_javascript_takes_what_is_ours_and_nothing_else(packages: Path, block: str) -> None:
    sent = requests()
    told = [{"secret": one.secret, "headers": one.headers, "body": one.body} for one in sent.values()]
    events = run(packages, block, JUDGE, told)
    assert dict(zip(sent, events, strict=True)) == {
        name: json.loads(BODY) if one.is_ours else None for name, one in sent.items()
    }


@asynccontextmanager
async def receiving(packages: Path) -> AsyncIterator[tuple[str, asyncio.StreamReader]]:
    """The receiver of the documentation: its address, and what it keeps, line by line."""
    [block] = blocks("js", "function receiver")
    (packages / "receiver.mjs").write_text(f"{block}\n{SERVE}")
    process = await asyncio.create_subprocess_exec(
        "node", "receiver.mjs", SECRET, cwd=packages, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(await process.stdout.readline())}/", process.stdout
    finally:
        process.kill()
        await process.wait()


async def test_receiver_keeps_before_it_answers(packages: Path) -> None:
    async with receiving(packages) as (url, kept), httpx.AsyncClient() as sender:
        failing = json.dumps({"fail": True})
        for body, headers, status in (
            (BODY, signed(SECRET), 204),
            (BODY, signed(OTHER), 401),
            (BODY, {}, 401),
            (failing, signed(SECRET, body=failing), 500),
        ):
            assert (await sender.post(url, content=body.encode(), headers=headers)).status_code == status
        assert json.loads(await kept.readline()) == json.loads(BODY)


def test_what_is_kept_is_kept_once_and_the_latest_counts() -> None:
    [block] = blocks("python", "def keep")
    defined, db = python(block), sqlite3.connect(":memory:")
    db.executescript(defined["SCHEMA"])
    first, second, third = [event for event in EXAMPLES if "connection_id" in event][:3]
    [about_an_application, *_] = [event for event in EXAMPLES if event["event"] == "Application Refused"]
    came = [first, third, third, second, about_an_application]
    assert [defined["keep"](db, event) for event in came] == [True, True, False, False, False]
    assert db.execute("SELECT * FROM connection").fetchall() == [
        (first["connection_id"], third["status"], third["sequence"])
    ]
    assert db.execute("SELECT count(*) FROM seen").fetchone() == (4,)


def test_every_event_is_listed_once_and_has_one_example() -> None:
    names = [event.value for event in EventType]
    assert sorted(row[0].strip("`") for row in table("event")) == sorted(names)
    assert sorted(example["event"] for example in EXAMPLES) == sorted(names)
    ids = [example["event_id"] for example in EXAMPLES]
    assert len(set(ids)) == len(ids)


def test_examples_are_one_connections_life() -> None:
    life = [(one["previous_sequence"], one["sequence"]) for one in EXAMPLES if "connection_id" in one]
    assert life == [(number - 1 or None, number) for number in range(1, len(life) + 1)]


@pytest.mark.parametrize("example", [one for one in EXAMPLES if "connection_id" in one], ids=lambda one: one["event"])
def test_connections_examples_have_the_fields_that_are_sent(example: dict[str, Any]) -> None:
    kind, now = EventType(example["event"]), datetime.now(UTC)
    transition = Transition(
        sequence=1,
        at=now,
        previous_status=example["previous_status"],
        status=example["status"],
        health=Health.OK,
        event=kind,
        ends_at=now if kind is EventType.EXPIRING else None,
        reminder=Reminder(expired_at=now, number=1, total=3) if kind is EventType.EXPIRED_REMINDER else None,
    )
    ref = ConnectionRef(
        org_id="org_1",
        environment=Environment.TEST,
        connection_id="con_1",
        slug="sandbox",
        linked_account_id="acme",
        identifier="ada",
        auth_type=AuthType.OAUTH2,
    )
    assert list(example) == list(event_body(ref, transition, None))


def test_every_reason_is_named() -> None:
    for reason in ReauthReason:
        assert f"`{reason}`" in TEXT


def test_schedule_is_the_one_that_is_kept() -> None:
    def words(seconds: float) -> str:
        return f"{seconds // 3600:.0f} h {seconds % 3600 // 60:.0f} min"

    since = list(accumulate(DELAYS))
    rows = table("attempt")
    assert [row[0] for row in rows] == [str(number) for number in range(1, len(DELAYS) + 1)]
    units = {"seconds": 1, "minutes": 60, "hours": 3600}
    told = [int(number) * units[unit] for number, unit in (row[1].split() for row in rows[1:])]
    assert told == list(DELAYS[1:])
    assert [row[2] for row in rows[4:]] == [words(seconds) for seconds in since[4:]]
    assert [row[2] for row in rows[:4]] == ["at once", "5 seconds", "5 minutes", "35 minutes"]


def test_python_of_the_documentation_is_all_tried() -> None:
    tried: list[Any] = [*blocks("python", "def received"), *blocks("python", "def keep")]
    assert len(blocks("python")) == len(tried) + 1  # and `catch_up`: tests/api/test_webhooks_page.py
