"""Whom a command speaks to, and its errors in one line."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import NoReturn, TypeVar

import httpx
import typer
from pydantic import ValidationError

from everlink.client import Client
from everlink.errors import EverlinkError

URL, API_KEY = "EVERLINK_URL", "EVERLINK_API_KEY"
INTERRUPTED = 130  # as a shell counts Ctrl-C

Result = TypeVar("Result")


@dataclass(frozen=True)
class Target:
    """An API and a key for it, as they were given."""

    url: str
    api_key: str = field(repr=False)

    def console_page(self, connection_id: str) -> str:
        """For a browser: without the password that a proxy before the API may ask for."""
        return f"{httpx.URL(self.url).copy_with(userinfo=b'')}/console/connections/{connection_id}"


def fail(words: str) -> NoReturn:
    """One line, and the exit code 1."""
    typer.echo(f"everlink: {words}", err=True)
    raise typer.Exit(1)


def target(context: typer.Context) -> Target:
    """What the command was given; ends it where that cannot be one."""
    found = context.find_object(Target)
    assert found is not None
    if not found.url:
        fail(f"say where Everlink is: --url, or {URL}")
    if not _is_address(found.url):
        fail("the URL is no http:// or https:// address")
    if not found.api_key:
        fail(f"give an API key: {API_KEY}, or --api-key")
    if not (found.api_key.isascii() and found.api_key.isprintable()):
        fail("the API key is not one")
    return found


def ask(context: typer.Context, work: Callable[[Client], Awaitable[Result]]) -> Result:
    """Do it with a client, to its end."""
    chosen = target(context)

    async def whole() -> Result:
        async with Client(chosen.url, chosen.api_key) as client:
            return await work(client)

    try:
        return asyncio.run(whole())
    except EverlinkError as error:
        fail(in_words(error))
    except ValidationError:
        fail("the answer is not understood: is this Everlink's address, and as new as this command?")
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None


def in_words(error: EverlinkError) -> str:
    """The API's message and, where there is one, its code."""
    return f"{error} ({error.error_code})" if error.error_code else str(error)


def _is_address(url: str) -> bool:
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, ValueError):
        return False
    return parsed.scheme in ("http", "https") and bool(parsed.host)
