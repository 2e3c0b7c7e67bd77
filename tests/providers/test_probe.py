"""A probe carries the credential as it is, and only where an answer speaks of the credential."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import httpx
import pytest

from everlink.contract import ReauthReason, Verdict
from providers.credential import KeyCredential, OAuthCredential
from providers.entry import Probe
from providers.probe import probe
from tests.providers.server import HEAD, Server, abort, answering, answering_with

KEY = {"X-Api-Key": "{api_key}"}


def key(**fields: str) -> KeyCredential:
    return KeyCredential(fields=fields)


@pytest.mark.parametrize(
    "value",
    ["a\r\nx-evil: 1", "a\nb", "a\r", "schlüssel", "\u2044", "\ud800", "a\0b", "a\x7f", " a", "a ", "a\t", "\x0b"],
    ids=ascii,
)
async def test_key_that_no_header_can_carry_never_reaches_the_wire(client: httpx.AsyncClient, value: str) -> None:
    server = Server(answering_with(b"{}"))
    async with server as url:
        judged = await probe(client, Probe(url=url, headers=KEY), key(api_key=value))
    assert (judged.verdict, judged.reason) == (Verdict.DEAD, ReauthReason.CREDENTIALS_INVALID)
    assert server.connections == 0 and (len(value) < 3 or value not in judged.note)


@pytest.mark.parametrize("value", ["a", "sk_live-1.2~3+4/5=", "with spaces inside", "{}", "{api_key}", "%0d%0a"])
async def test_other_key_reaches_the_wire_as_it_is(client: httpx.AsyncClient, value: str) -> None:
    server = Server(answering_with(b"{}"))
    async with server as url:
        judged = await probe(client, Probe(url=url, headers=KEY), key(api_key=value))
    assert judged.verdict is Verdict.OK
    assert f"\r\nX-Api-Key: {value}\r\n".encode() in server.seen[0]


async def test_name_of_another_field_in_a_value_is_just_text(client: httpx.AsyncClient) -> None:
    server = Server(answering_with(b"{}"))
    async with server as url:
        entry = Probe(url=url, headers={"X-Both": "{user}:{password}"})
        await probe(client, entry, key(user="{password}", password="of {user}"))
    assert b"\r\nX-Both: {password}:of {user}\r\n" in server.seen[0]


async def test_basic_user_and_password_reach_the_wire(client: httpx.AsyncClient) -> None:
    server = Server(answering_with(b"{}"))
    async with server as url:
        await probe(client, Probe(url=url, basic=("{sid}", "{token}")), key(sid="AC1", token="pä:ss\r\n"))
    assert b"\r\nAuthorization: Basic " + b64encode("AC1:pä:ss\r\n".encode()) + b"\r\n" in server.seen[0]


async def test_token_reaches_the_wire(client: httpx.AsyncClient) -> None:
    server = Server(answering_with(b"{}"))
    async with server as url:
        entry = Probe(method="POST", url=url, headers={"Authorization": "Bearer {access_token}"})
        await probe(client, entry, OAuthCredential(access_token="a.b-c"))
    assert server.seen[0].startswith(b"POST ") and b"Authorization: Bearer a.b-c\r\n" in server.seen[0]


@pytest.mark.parametrize("value", ["a\nb", "\ud800", "xn--\u2044"], ids=ascii)
async def test_value_that_makes_no_address_is_refused(client: httpx.AsyncClient, value: str) -> None:
    judged = await probe(client, Probe(url="https://{domain}.example/"), key(domain=value))
    assert (judged.verdict, judged.reason) == (Verdict.DEAD, ReauthReason.CREDENTIALS_INVALID)
    assert value not in judged.note


@pytest.mark.parametrize(
    ("behaviour", "verdict"),
    [
        (answering_with(b'{"user": {"id": 42}}'), Verdict.OK),
        (answering_with(b"<html>"), Verdict.OK),
        (answering(b"HTTP/1.1 401 No\r\ncontent-length: 0\r\n\r\n"), Verdict.DEAD),
        (answering(b"HTTP/1.1 429 Slow\r\nretry-after: 7\r\ncontent-length: 0\r\n\r\n"), Verdict.TRANSIENT),
        (answering(b"HTTP/1.1 302 X\r\nlocation: /login\r\ncontent-length: 0\r\n\r\n"), Verdict.TRANSIENT),
        (answering_with(b"x" * 2_000_000), Verdict.TRANSIENT),
        (answering(HEAD + b"content-length: 9\r\n\r\n{}"), Verdict.TRANSIENT),
        (abort, Verdict.TRANSIENT),
    ],
    ids=["fine", "HTML", "401", "429", "redirect", "huge", "cut", "reset"],
)
async def test_trouble_on_the_way_says_nothing_about_the_credential(
    client: httpx.AsyncClient, behaviour: Any, verdict: Verdict
) -> None:
    async with Server(behaviour) as url:
        judged = await probe(client, Probe(url=url), key(api_key="a"))
    assert judged.verdict is verdict
