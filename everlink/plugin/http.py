"""`everlink.http()`: a client that speaks to a provider with a connection's credential."""

from __future__ import annotations

import ssl
from collections.abc import AsyncGenerator, AsyncIterator
from functools import cache
from typing import Any

import httpx

from everlink.answers import first_match, needs_body
from everlink.errors import EverlinkError
from everlink.models import Token
from everlink.plugin.credentials import Handout, current

CARRIED = "everlink.credential"  # the extension of a request that tells what it carries
MOST_READ = 64 * 1024  # bytes of a JSON answer that is read to tell a refusal
THIS_MACHINE = ("localhost", "127.0.0.1", "::1")
DIRECTLY = {f"http://{host}": None for host in ("localhost", "127.0.0.1", "[::1]")}  # not through a proxy, in the clear
Origin = tuple[str, str, int | None]


def http(connection_id: str, **options: Any) -> httpx.AsyncClient:
    """An `httpx.AsyncClient` (which takes the `options`) whose requests carry the connection's credential.

    It goes to one origin only, that of `base_url` or else of the first request, over https or to this machine;
    requests and redirects that lead elsewhere go without.

    Where the provider refuses it, Everlink asks the provider itself, and a request that can be sent again is repeated
    once with a credential that is newer. A refusal of something else is answered as it came.

    Raises:
        RuntimeError: not in an `async def` activity of a worker that has the plugin.
    Its requests raise what `credential()` does.
    """
    auth = ConnectionAuth(current(), connection_id, httpx.URL(options.get("base_url", "")))
    options["mounts"] = {**DIRECTLY, **(options.get("mounts") or {})}
    if not options.keys() & {"verify", "cert", "transport"}:
        options["verify"] = _trusted(options.get("trust_env", True))
    client = httpx.AsyncClient(auth=auth, **options)
    hooks = client.event_hooks
    client.event_hooks = {**hooks, "request": [*hooks["request"], auth.dress]}
    return client


class ConnectionAuth(httpx.Auth):
    """Puts a connection's credential on requests, and sees to a refusal."""

    def __init__(self, handout: Handout, connection_id: str, base_url: httpx.URL) -> None:
        self._handout = handout
        self._connection_id = connection_id
        self._origin = _safe_origin(base_url) if base_url.host else None

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        if self._origin is None:
            self._origin = _safe_origin(request.url)
        if _origin(request.url) != self._origin:
            yield request
            return
        token = await self._handout.token(self._connection_id)
        response = yield _with(request, token)
        for find in (self._handout.newer, self._handout.verified):
            if _origin(response.request.url) != self._origin or not await is_refused(response, token):
                return
            other = await find(token)
            if other is None:
                continue
            if not isinstance(request.stream, httpx.ByteStream):
                return  # what is streamed cannot be sent again
            token = other
            response = yield _with(request, token)

    async def dress(self, request: httpx.Request) -> None:
        """Just before a request is sent: a redirect comes with what the request before it carried."""
        token = request.extensions.get(CARRIED)
        if token is None:
            return
        request.extensions.pop("target", None)
        for name in token.headers:
            request.headers.pop(name, None)
        if _origin(request.url) != self._origin:
            return
        request.headers.update(token.headers)
        if token.query:
            # What is logged and what errors say is the address, which stays without it.
            request.extensions["target"] = request.url.copy_merge_params(token.query).raw_path


async def is_refused(response: httpx.Response, token: Token) -> bool:
    """Whether an answer says that the credential is no good. A body is read only where that needs it."""
    if first_match(token.refusals, response.status_code, None) is not None:
        return True
    if not needs_body(token.refusals, response.status_code):
        return False
    return first_match(token.refusals, response.status_code, await _beginning(response)) is not None


async def _beginning(response: httpx.Response) -> dict[str, Any] | None:
    """A JSON object of a bounded size; None for anything else. Whoever reads the response reads all of it."""
    media_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    length = response.headers.get("content-length", "")
    if not media_type.endswith(("/json", "+json")) or (length.isdigit() and int(length) > MOST_READ):
        return None
    assert isinstance(response.stream, httpx.AsyncByteStream)
    read = _Read(response.stream)
    response.stream = read
    content = await read.up_to(MOST_READ)
    if content is None:
        return None
    try:
        body = httpx.Response(response.status_code, headers=response.headers, content=content).json()
    except (ValueError, httpx.DecodingError):
        return None
    return body if isinstance(body, dict) else None


class _Read(httpx.AsyncByteStream):
    """A stream of which the beginning has been read, and is still there."""

    def __init__(self, stream: httpx.AsyncByteStream) -> None:
        self._stream = stream
        self._chunks = aiter(stream)
        self._read: list[bytes] = []

    async def up_to(self, most: int) -> bytes | None:
        """All of it; None where it is more."""
        size = 0
        async for chunk in self._chunks:
            self._read.append(chunk)
            size += len(chunk)
            if size > most:
                return None
        return b"".join(self._read)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self._read:
            yield chunk
        async for chunk in self._chunks:
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()


@cache
def _trusted(trust_env: bool) -> ssl.SSLContext:
    """Whom a client trusts that is told nothing else. Reading them would hold up the worker's event loop each time."""
    return httpx.create_ssl_context(trust_env=trust_env)


def _with(request: httpx.Request, token: Token) -> httpx.Request:
    request.extensions = {**request.extensions, CARRIED: token}
    return request


def _origin(url: httpx.URL) -> Origin:
    return url.scheme, url.host, url.port


def _safe_origin(url: httpx.URL) -> Origin:
    """Raises EverlinkError where others could read a credential on its way there."""
    if url.scheme != "https" and url.host not in THIS_MACHINE:
        raise EverlinkError("a credential is sent over https only, or to this machine")
    return _origin(url)
