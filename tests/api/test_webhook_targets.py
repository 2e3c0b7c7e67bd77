"""Where a webhook endpoint may point: refused when it is set, under both faces, with no socket opened."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from providers.guard import TargetGuard
from tests.activities.test_targets import NAMES, Net
from tests.api.conftest import Everlink
from tests.api.test_webhook_endpoints import V1, Receiver, add, receiver

__all__ = ["receiver"]

SEED = "/api/v2/public/webhook"
EVENTS = ["Connection Expired"]
HOSTILE = [
    "http://2130706433/",
    "http://127.1/",
    "http://0x7f.1/",
    "http://127.0.0.1/",
    "http://[::1]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:7f00:1]/",
    "http://[64:ff9b::7f00:1]/",
    "http://[2002:7f00:1::]/",
    *(f"https://{name}/" for name, answers in NAMES.items() if name != "fine.example"),
    "http://169.254.169.254/latest/meta-data/",
    "http://user:password@fine.example/",
    "http://user@fine.example/",
    "http://fine.example@127.0.0.1/",
    "http://fine.example:22/",
    "http://fine.example:8080/",
    "ftp://fine.example/",
    "file:///etc/passwd",
    "javascript:alert(1)",
    "//fine.example/",
    "fine.example",
    "",
]


@pytest.fixture
def net(everlink: Everlink, monkeypatch: pytest.MonkeyPatch) -> Net:
    """The names that this API's guard finds; it has nothing that connects."""
    made = Net()
    monkeypatch.setattr(everlink.made, "guard", TargetGuard(resolver=made.resolve))
    return made


@pytest.mark.parametrize("url", HOSTILE)
async def test_hostile_target_is_a_422_under_both_faces(product: httpx.AsyncClient, net: Net, url: str) -> None:
    fine = await add(product, url="https://fine.example/")
    answers = [
        await product.post(V1, json={"url": url, "events": EVENTS}),
        await product.patch(f"{V1}/{fine['id']}", json={"url": url}),
        await product.post(SEED, json={"webhook_url": url, "webhook_events": EVENTS}),
    ]
    for answer in answers:
        assert answer.status_code == 422, answer.text
        assert answer.json()["error_code"] in ("webhook_url_refused", "invalid_request")
    assert [row["url"] for row in (await product.get(V1)).json()] == ["https://fine.example/"]


@pytest.mark.parametrize("url", ["https://[2606:4700::1111]/", "https://93.184.216.34/", "http://fine.example:80/"])
async def test_public_address_may_be_written_out(product: httpx.AsyncClient, net: Net, url: str) -> None:
    await add(product, url=url)
    assert len((await product.get(V1)).json()) == 1


@pytest.mark.parametrize(
    "headers",
    [
        {"x-a": "b\r\nx-smuggled: c"},
        {"x-a": "b\nc"},
        {"x-a\r\nx-smuggled": "b"},
        {"Webhook-Id": "mine"},
        {"WEBHOOK-SIGNATURE": "v1,mine"},
        {"webhook-anything": "mine"},
        {"X-Cobalt-Signature": "mine"},
        {"Host": "elsewhere.example"},
        {"content-language": "en"},
        {"Accept-Encoding": "gzip"},
    ],
    ids=str,
)
async def test_header_that_would_pass_for_ours_is_a_422(product: httpx.AsyncClient, headers: dict[str, str]) -> None:
    fine = await add(product, url="http://127.0.0.1:9/", headers={"x-a": "b"})
    answers = [
        await product.post(V1, json={"url": "http://127.0.0.1:9/", "events": EVENTS, "headers": headers}),
        await product.patch(f"{V1}/{fine['id']}", json={"headers": headers}),
    ]
    assert [(answer.status_code, answer.json()["error_code"]) for answer in answers] == [(422, "invalid_request")] * 2
    assert [row["header_names"] for row in (await product.get(V1)).json()] == [["x-a"]]


async def test_endpoint_that_is_gone_is_disabled_and_the_others_hear_of_it(
    everlink: Everlink, product: httpx.AsyncClient, receiver: Receiver
) -> None:
    async def gone(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 410 Gone\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(gone, "127.0.0.1", 0)
    left = await add(product, url=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
    other = await add(product, url=receiver.url, events=["Connection Expired"])
    await everlink.connect(product)
    _, _, body = await receiver.next()
    server.close()
    assert b'"event":"Webhook Endpoint Disabled"' in body and left["id"].encode() in body and b'"gone"' in body
    rows = {row["id"]: row for row in (await product.get(V1)).json()}
    assert (rows[left["id"]]["is_enabled"], rows[left["id"]]["disabled_reason"]) == (False, "gone")
    assert rows[other["id"]]["is_enabled"] is True and receiver.arrived.empty()
