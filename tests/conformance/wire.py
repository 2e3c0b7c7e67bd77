"""Every name of the internet leads to this machine: requests to providers go out as they are, and no further.

What sends them is the service's own client, guard and all. Only the last step is another one: the connection goes to
one local server, in clear (tests/providers/test_tls.py has the encryption).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from ssl import SSLContext
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpcore
import httpx
import pytest
from httpcore import AnyIOBackend

from providers.guard import TargetGuard
from providers.http import make_client

SOMEWHERE = "198.35.26.96"  # public, so that the guard lets it pass; nothing is sent there


@dataclass(frozen=True)
class Sent:
    """A request as it arrived."""

    method: str
    url: str
    headers: dict[str, str]  # names in lower case
    body: str

    @property
    def place(self) -> str:
        """The address without its query."""
        return self.url.partition("?")[0]

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.url).query, keep_blank_values=True))

    @property
    def said(self) -> dict[str, Any]:
        """What the body says, in the form that its content type names."""
        kind = self.headers.get("content-type", "")
        if self.body and kind == "application/json":
            return dict(json.loads(self.body))
        assert not self.body or kind == "application/x-www-form-urlencoded", f"a body of {kind!r}"
        return dict(parse_qsl(self.body, keep_blank_values=True))


@dataclass(frozen=True)
class Said:
    """An answer."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)

    @classmethod
    def json(cls, status: int, body: Any) -> Said:
        return cls(status, json.dumps(body).encode(), {"content-type": "application/json"})

    def written(self) -> bytes:
        lines = {**self.headers, "content-length": str(len(self.body))}
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        return f"HTTP/1.1 {self.status} X\r\n{head}\r\n".encode() + self.body


class Internet:
    """Where all requests arrive; `answer` is whoever they are meant for now."""

    def __init__(self) -> None:
        self.answer: Callable[[Sent], Said] = lambda _: Said(502, b"nobody is there")

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Internet]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self._port = int(server.sockets[0].getsockname()[1])
        yield self
        server.close()

    def client(self) -> httpx.AsyncClient:
        """The service's client, on this internet."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(httpcore, "AnyIOBackend", lambda: _Wire(self._port))
            return make_client(TargetGuard(resolver=_found))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, EOFError):
            while True:
                sent = await _read(reader)
                writer.write(self.answer(sent).written())
                await writer.drain()
        writer.close()


async def _found(host: str, port: int) -> list[str]:
    return [SOMEWHERE]


async def _read(reader: asyncio.StreamReader) -> Sent:
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().rstrip().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    method, path, _ = first.split(" ")
    return Sent(method, f"https://{headers['host']}{path}", headers, body.decode())


class _Wire(httpcore.AsyncNetworkBackend):
    """Connects to the local server, wherever it is told to."""

    def __init__(self, port: int) -> None:
        self._port, self._backend = port, AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        assert (host, port) == (SOMEWHERE, 443), f"a request went to port {port} of {host}"
        return _Clear(await self._backend.connect_tcp("127.0.0.1", self._port, timeout))

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class _Clear(httpcore.AsyncNetworkStream):
    """A connection that skips its encryption."""

    def __init__(self, stream: httpcore.AsyncNetworkStream) -> None:
        self._stream = stream

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return await self._stream.read(max_bytes, timeout)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self, ssl_context: SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        return self

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
