"""No outgoing request reaches an address that is not public."""

from __future__ import annotations

import asyncio
import socket
import threading
from ipaddress import ip_address
from typing import Any

import httpcore
import pytest

from providers.guard import TargetGuard, TargetRefused, is_public, resolve
from providers.http import RequestFailed, make_client, send

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
    "192.31.196.1",
    "192.52.193.1",
    "192.88.99.1",
    "192.175.48.1",
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
    "::ffff:0:7f00:1",
    "::ffff:169.254.169.254",
    "2001:0:7f00:1::",
    "fe80::1%eth0",
    "::1%1",
    "ff02::1%lo",
    "fd00:ec2::254",
]
PUBLIC = ["8.8.8.8", "1.1.1.1", "93.184.216.34", "172.15.0.1", "172.32.0.1", "100.63.0.1", "2606:4700::1111", "2a00::1"]


def resolving(*addresses: str) -> Any:
    async def resolver(_: str, __: int) -> list[str]:
        return list(addresses)

    return resolver


def test_list_is_long_enough() -> None:
    assert len(HOSTILE) >= 45


@pytest.mark.parametrize("address", HOSTILE)
async def test_hostile_address_is_refused(address: str) -> None:
    assert not is_public(ip_address(address))
    with pytest.raises(TargetRefused):
        await TargetGuard(resolver=resolving(address)).address_of("looks-fine.example", 443)


@pytest.mark.parametrize("address", PUBLIC)
async def test_public_address_is_reached(address: str) -> None:
    assert await TargetGuard(resolver=resolving(address)).address_of("fine.example", 443) == address


@pytest.mark.parametrize("name", ["127.1", "2130706433", "0x7f000001", "localhost", "localhost.", "::1", "0"])
async def test_other_spellings_of_this_machine_are_refused(name: str) -> None:
    with pytest.raises((TargetRefused, httpcore.ConnectError)):
        await TargetGuard(resolver=resolve).address_of(name, 80)


@pytest.mark.parametrize("answers", [("8.8.8.8", "10.0.0.1"), ("::1", "2606:4700::1111"), ()])
async def test_one_bad_answer_spoils_all(answers: tuple[str, ...]) -> None:
    with pytest.raises(TargetRefused):
        await TargetGuard(resolver=resolving(*answers)).address_of("mixed.example", 443)


@pytest.mark.parametrize("port", [22, 25, 6379, 8080, 0])
async def test_other_ports_are_refused(port: int) -> None:
    with pytest.raises(TargetRefused):
        await TargetGuard(resolver=resolving("8.8.8.8")).address_of("fine.example", port)


async def test_allowed_host_need_not_be_public() -> None:
    assert await TargetGuard(["127.0.0.1"]).address_of("127.0.0.1", 9999) == "127.0.0.1"
    with pytest.raises(TargetRefused):
        await TargetGuard(["127.0.0.1"]).address_of("127.0.0.2", 80)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Where sockets would have been opened; nothing is reached."""
    hosts: list[str] = []

    async def connect(_: object, host: str, *__: object, **___: object) -> None:
        hosts.append(host)
        raise httpcore.ConnectError

    monkeypatch.setattr(httpcore.AnyIOBackend, "connect_tcp", connect)
    return hosts


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "http://127.1/",
        "http://2130706433/",
        "http://0x7f000001/",
        "http://0x7f.1/",
        "http://017700000001/",
        "http://0/",
        "http://0.0.0.0/",
        "http://localhost/",
        "http://localhost./",
        "http://LOCALHOST/",
        "http://①②⑦.⓪.⓪.①/",
        "http://127。0。0。1/",
        "http://[::1]/",
        "http://[::]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[::ffff:7f00:1]/",
        "http://[64:ff9b::7f00:1]/",
        "http://[2002:7f00:1::]/",
        "http://[fd00:ec2::254]/",
        "http://[fe80::1%25eth0]/",
        "http://169.254.169.254/latest/meta-data/",
        "http://user:password@127.0.0.1/",
        "http://fine.example@127.0.0.1/",
        "http://8.8.8.8:22/",
        "https://8.8.8.8:80@10.0.0.1/",
    ],
)
async def test_no_socket_is_opened_for_an_address_of_a_private_network(opened: list[str], url: str) -> None:
    async with make_client(TargetGuard()) as client:
        with pytest.raises(RequestFailed) as caught:
            await send(client, "POST", url, content=b"{}")
    assert opened == [] and not caught.value.sent


async def test_socket_goes_to_the_checked_address_and_none_to_a_rebound_one(opened: list[str]) -> None:
    answers = [["93.184.216.34", "93.184.216.35"], ["127.0.0.1"], ["93.184.216.34", "10.0.0.1"]]
    asked: list[tuple[str, int]] = []

    async def rebinding(host: str, port: int) -> list[str]:
        asked.append((host, port))
        return answers[len(asked) - 1]

    async with make_client(TargetGuard(resolver=rebinding)) as client:
        for _ in answers:
            with pytest.raises(RequestFailed) as caught:
                await send(client, "POST", "https://rebinding.example/", content=b"{}")
            assert not caught.value.sent
    assert opened == ["93.184.216.34"]
    assert asked == [("rebinding.example", 443)] * 3  # once for each request


@pytest.mark.parametrize("allowed", ["localhost", "10.0.0.1", "internal.example"])
async def test_allowed_host_is_meant_exactly(opened: list[str], allowed: str) -> None:
    async with make_client(TargetGuard([allowed], resolver=resolving("10.0.0.1"))) as client:
        for host in (allowed, f"{allowed}.", f"x{allowed}", f"{allowed}.example", f"user@sub.{allowed}"):
            with pytest.raises(RequestFailed):
                await send(client, "GET", f"http://{host}/")
    assert opened == [allowed]


async def test_name_that_does_not_resolve_was_not_reached() -> None:
    for name in ("no-such-name.invalid", "a" * 64 + ".example", "a..b", "-"):
        with pytest.raises(httpcore.ConnectError):
            await resolve(name, 443)


async def test_name_server_that_hangs_for_one_name_delays_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lookup holds a thread, and there are not many."""
    asked, answered = [], threading.Event()

    def getaddrinfo(host: str, port: int, *_: object, **__: object) -> list[Any]:
        asked.append(host)
        if host == "hangs.example":
            answered.wait()
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("93.184.216.34", port))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    guard = TargetGuard()
    crowd = [asyncio.ensure_future(guard.address_of("hangs.example", 443)) for _ in range(100)]
    try:
        await asyncio.sleep(0)
        crowd[0].cancel()  # who gives up takes nobody along
        async with asyncio.timeout(5):
            assert await guard.address_of("fine.example", 443) == "93.184.216.34"
        assert not any(waiting.done() for waiting in crowd[1:])
    finally:
        answered.set()
    assert set(await asyncio.gather(*crowd[1:])) == {"93.184.216.34"}
    assert asked == ["hangs.example", "fine.example"]


async def test_name_is_looked_up_for_each_who_comes_after(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([["93.184.216.34"], ["10.0.0.1"]])

    async def rebinding(_: str, __: int) -> list[str]:
        return next(answers)

    guard = TargetGuard(resolver=rebinding)
    assert await guard.address_of("rebinding.example", 443) == "93.184.216.34"
    with pytest.raises(TargetRefused):
        await guard.address_of("rebinding.example", 443)
