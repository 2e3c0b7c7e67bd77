"""A token endpoint that answers at once, and the judge of the tokens that it gave: `python -m bench.endpoint`.

A process of its own, and raw HTTP, so that it costs next to nothing; on all of 127.0.0.0/8, so that it can be many
providers. Refresh tokens are good for one use;
an access token is accepted until it expires. Ends when its standard input does.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
import time
from urllib.parse import parse_qs, urlsplit


class Tokens:
    """Every grant that is alive, and every access token ever given."""

    def __init__(self) -> None:
        self.renewals: dict[str, float] = {}  # a refresh token, and how long what it buys lives
        self.expiry: dict[str, float] = {}  # an access token, and when it ends
        self.granted = self.refused = 0

    def grant(self, lifetime: float, renewed: float) -> dict[str, object]:
        access, refresh = secrets.token_urlsafe(24), secrets.token_urlsafe(24)
        self.expiry[access] = time.time() + lifetime
        self.renewals[refresh] = renewed
        return {"access_token": access, "refresh_token": refresh, "token_type": "Bearer", "expires_in": lifetime}

    def refresh(self, refresh_token: str) -> tuple[int, object]:
        lifetime = self.renewals.pop(refresh_token, None)
        if lifetime is None:
            self.refused += 1
            return 400, {"error": "invalid_grant"}
        self.granted += 1
        return 200, self.grant(lifetime, lifetime)

    def answer(self, path: str, query: dict[str, list[str]], headers: bytes, body: str) -> tuple[int, object]:
        match path:
            case "/token":
                return self.refresh(parse_qs(body)["refresh_token"][0])
            case "/resource":
                token = headers.partition(b"bearer ")[2] or headers.partition(b"Bearer ")[2]
                accepted = self.expiry.get(token.split(b"\r\n")[0].decode(), 0.0) > time.time()
                return (200 if accepted else 401), {}
            case "/seed":
                lifetime, renewed = float(query["lifetime"][0]), float(query["renewed"][0])
                return 200, [self.grant(lifetime, renewed) for _ in range(int(query["count"][0]))]
            case _:
                return 200, {"granted": self.granted, "refused": self.refused}


class Connection(asyncio.Protocol):
    """One kept connection: requests one after the other."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens, self._read = tokens, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._read += data
        while b"\r\n\r\n" in self._read:
            head, _, rest = self._read.partition(b"\r\n\r\n")
            length = head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]
            size = int(length or 0)
            if len(rest) < size:
                return
            body, self._read = rest[:size], rest[size:]
            url = urlsplit(head.split(b" ")[1].decode())
            status, said = self._tokens.answer(url.path, parse_qs(url.query), head, body.decode())
            text = json.dumps(said).encode()
            self._transport.write(
                b"HTTP/1.1 %d -\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s"
                % (status, len(text), text)
            )


async def main() -> None:
    tokens, loop = Tokens(), asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(tokens), "0.0.0.0", 0, backlog=1000)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
