"""Keeps outgoing requests away from addresses that are not public (server-side request forgery).

Resolve once, refuse if any answer is not public, connect to exactly that address with the TLS name kept.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import httpcore
import httpx

ALLOWED_PORTS = (80, 443)
POOLS = 32
LOOKUP_SECONDS = 5.0  # for a name that is only looked at

# IANA special-purpose registries; everything from 224.0.0.0 up is multicast or reserved.
_PRIVATE_V4 = [
    ipaddress.IPv4Network(network)
    for network in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "192.175.48.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/3",
    )
]
_GLOBAL_V6 = ipaddress.IPv6Network("2000::/3")
_EXCLUDED_V6 = [
    ipaddress.IPv6Network(network)
    for network in ("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20")
]

# Of our own: a name server that hangs holds a thread for as long as it likes, and other work has few.
_LOOKUPS = ThreadPoolExecutor(32, thread_name_prefix="lookup")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolver = Callable[[str, int], Coroutine[Any, Any, list[str]]]


class TargetRefused(Exception):
    """The target is not a public address on an allowed port."""


def is_public(address: Address) -> bool:
    """Whether an address is on the public internet."""
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in network for network in _PRIVATE_V4)
    return address in _GLOBAL_V6 and not any(address in network for network in _EXCLUDED_V6)


async def resolve(host: str, port: int) -> list[str]:
    look_up = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    try:
        answers = await asyncio.get_running_loop().run_in_executor(_LOOKUPS, look_up)
    except (OSError, UnicodeError):
        raise httpcore.ConnectError("the name does not resolve") from None
    return [str(answer[4][0]) for answer in answers]


class TargetGuard:
    """Decides which address a host may be reached at. `allowed` names hosts that need not be public."""

    def __init__(self, allowed: Iterable[str] = (), resolver: Resolver = resolve) -> None:
        self._allowed = frozenset(allowed)
        self._resolver = resolver
        self._under_way: dict[tuple[str, int], asyncio.Future[list[str]]] = {}

    def allows(self, host: str) -> bool:
        """Whether a host is one that need not be public."""
        return host in self._allowed

    async def refusal(self, host: str, port: int) -> str | None:
        """Why nothing may be sent to a host, told before there is something to send. None: it may, as things stand."""
        try:
            async with asyncio.timeout(LOOKUP_SECONDS):
                await self.address_of(host, port)
        except TargetRefused as refused:
            return str(refused)
        except (httpcore.ConnectError, TimeoutError):
            return "the name does not resolve"
        return None

    async def address_of(self, host: str, port: int) -> str:
        """The one address to connect to.

        Raises:
            TargetRefused: any answer of the resolver is not public, or the port is not 80 or 443.
        """
        if host in self._allowed:
            return host
        if port not in ALLOWED_PORTS:
            raise TargetRefused("the port is not allowed: it has to be 80 or 443")
        addresses = await self._look_up(host, port)
        if not addresses or not all(is_public(ipaddress.ip_address(text)) for text in addresses):
            raise TargetRefused("the address is not public")
        return addresses[0]

    async def _look_up(self, host: str, port: int) -> list[str]:
        """One lookup of a name at a time, however many wait for it: one that hangs takes one thread."""
        place = host, port
        if place not in self._under_way:
            self._under_way[place] = looking = asyncio.ensure_future(self._resolver(host, port))

            def over(_: object) -> None:
                del self._under_way[place]
                if not looking.cancelled():
                    looking.exception()  # nobody may be there any more to hear it

            looking.add_done_callback(over)
        return await asyncio.shield(self._under_way[place])


class _GuardedBackend(httpcore.AsyncNetworkBackend):
    """Connects where the guard says. TLS still verifies the name, which the request keeps."""

    def __init__(self, guard: TargetGuard) -> None:
        self._guard = guard
        self._backend = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        address = await self._guard.address_of(host, port)
        return await self._backend.connect_tcp(address, port, timeout, local_address, socket_options)

    async def sleep(self, seconds: float) -> None:
        await self._backend.sleep(seconds)


class _Pools:
    """Connections kept by host, a few hosts to a pool: a pool looks through all that it holds at each request."""

    def __init__(self, backend: httpcore.AsyncNetworkBackend) -> None:
        ssl_context = httpx.create_ssl_context(trust_env=False)
        self._pools = [
            httpcore.AsyncConnectionPool(
                ssl_context=ssl_context,
                max_connections=200,
                max_keepalive_connections=10,
                keepalive_expiry=30.0,
                network_backend=backend,
            )
            for _ in range(POOLS)
        ]

    async def handle_async_request(self, request: httpcore.Request) -> httpcore.Response:
        return await self._pools[hash(request.url.host) % POOLS].handle_async_request(request)

    async def __aenter__(self) -> _Pools:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        for pool in self._pools:
            await pool.aclose()


class GuardedTransport(httpx.AsyncHTTPTransport):
    """httpx's own transport on a guarded network backend."""

    def __init__(self, guard: TargetGuard) -> None:
        super().__init__(trust_env=False, retries=0)
        self._pool = _Pools(_GuardedBackend(guard))  # type: ignore[assignment]
