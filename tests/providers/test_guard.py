"""No outgoing request reaches an address that is not public."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address
from typing import Any

import httpcore
import httpx
import pytest

from providers.guard import GuardedTransport, TargetGuard, TargetRefused, is_public, resolve

HOSTILE = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "10.255.255.255",
    "100.64.0.1",
    "100.127.255.254",
    "127.0.0.1",
    "127.8.8.8",
    "169.254.169.254",
    "169.254.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.0.170",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.0.1",
    "192.168.255.255",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.7",
    "203.0.113.9",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::ffff:127.0.0.1",
    "::ffff:8.8.8.8",
    "::127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::808:808",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:db8::1",
    "2001:10::1",
    "2001:20::1",
    "2002:7f00:1::",
    "2002:808:808::",
    "3fff::1",
    "fc00::1",
    "fd12:3456::1",
    "fe80::1",
    "fec0::1",
    "ff02::1",
    "5f00::1",
    "4000::1",
    "2620:4f:8000::1",
]
PUBLIC = ["8.8.8.8", "1.1.1.1", "93.184.216.34", "172.15.0.1", "172.32.0.1", "100.63.0.1", "2606:4700::1111", "2a00::1"]


def answering(*addresses: str) -> Any:
    async def resolver(_: str, __: int) -> list[str]:
        return list(addresses)

    return resolver


def test_list_is_long_enough() -> None:
    assert len(HOSTILE) >= 45


@pytest.mark.parametrize("address", HOSTILE)
async def test_hostile_address_is_refused(address: str) -> None:
    assert not is_public(ip_address(address))
    with pytest.raises(TargetRefused):
        await TargetGuard(resolver=answering(address)).address_of("looks-fine.example", 443)


@pytest.mark.parametrize("address", PUBLIC)
async def test_public_address_is_reached(address: str) -> None:
    assert await TargetGuard(resolver=answering(address)).address_of("fine.example", 443) == address


@pytest.mark.parametrize("name", ["127.1", "2130706433", "0x7f000001", "localhost", "localhost.", "::1", "0"])
async def test_other_spellings_of_this_machine_are_refused(name: str) -> None:
    with pytest.raises((TargetRefused, httpcore.ConnectError)):
        await TargetGuard(resolver=resolve).address_of(name, 80)


@pytest.mark.parametrize("answers", [("8.8.8.8", "10.0.0.1"), ("::1", "2606:4700::1111"), ()])
async def test_one_bad_answer_spoils_all(answers: tuple[str, ...]) -> None:
    with pytest.raises(TargetRefused):
        await TargetGuard(resolver=answering(*answers)).address_of("mixed.example", 443)


@pytest.mark.parametrize("port", [22, 25, 6379, 8080, 0])
async def test_other_ports_are_refused(port: int) -> None:
    with pytest.raises(TargetRefused):
        await TargetGuard(resolver=answering("8.8.8.8")).address_of("fine.example", port)


async def test_allowed_host_need_not_be_public() -> None:
    assert await TargetGuard(["127.0.0.1"]).address_of("127.0.0.1", 9999) == "127.0.0.1"
    with pytest.raises(TargetRefused):
        await TargetGuard(["127.0.0.1"]).address_of("127.0.0.2", 80)


async def test_socket_goes_to_the_checked_address_and_none_to_a_rebound_one(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []

    async def connect(_: object, host: str, *__: object, **___: object) -> None:
        opened.append(host)
        raise httpcore.ConnectError

    monkeypatch.setattr(httpcore.AnyIOBackend, "connect_tcp", connect)
    answers: Iterable[list[str]] = iter([["93.184.216.34"], ["127.0.0.1"]])

    async def rebinding(_: str, __: int) -> list[str]:
        return next(answers)  # type: ignore[call-overload]

    async with httpx.AsyncClient(transport=GuardedTransport(TargetGuard(resolver=rebinding))) as client:
        with pytest.raises(httpx.ConnectError):
            await client.get("https://rebinding.example/")
        with pytest.raises(TargetRefused):
            await client.get("https://rebinding.example/")
    assert opened == ["93.184.216.34"]
