"""Providers' public keys (JWKS, RFC 7517), fetched where they are published and kept for a while."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TypeVar

import httpx
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from providers.http import RequestFailed, send

KEEP_SECONDS = 3600.0
MOST = 1000  # addresses
FAILED_SECONDS = 10.0  # after a failure they are not asked for
AGAIN_SECONDS = 60.0  # a key that is not among them may be new: they are fetched again, but not for everybody's token

Value = TypeVar("Value")


class KeysUnavailable(Exception):
    """The provider's keys cannot be fetched now."""


class KeySets:
    """By address. A failure to fetch leaves what there was.

    Anybody can make us ask, with what is no token: one request at a time goes to an address, none soon after a failure.
    """

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http
        self._kept: dict[str, tuple[float, KeySet]] = {}
        self._failed: dict[str, float] = {}
        self._under_way: dict[str, asyncio.Task[None]] = {}

    async def get(self, url: str, *, newer: bool = False) -> KeySet:
        """The keys; `newer`: not those that were there a minute ago.

        Raises:
            KeysUnavailable: there are none in memory, and none can be fetched.
        """
        at, kept = self._kept.get(url, (0.0, None))
        if kept is not None and monotonic() - at < (AGAIN_SECONDS if newer else KEEP_SECONDS):
            return kept
        failed = self._failed.get(url)
        if failed is None or monotonic() - failed >= FAILED_SECONDS:
            if url not in self._under_way:
                self._under_way[url] = asyncio.create_task(self._renew(url))
            await asyncio.shield(self._under_way[url])
        if url not in self._kept:
            raise KeysUnavailable("the provider's keys cannot be fetched")
        return self._kept[url][1]

    async def _renew(self, url: str) -> None:
        try:
            _put(self._kept, url, (monotonic(), await self._fetch(url)))
            self._failed.pop(url, None)
        except KeysUnavailable:
            _put(self._failed, url, monotonic())
        finally:
            del self._under_way[url]

    async def _fetch(self, url: str) -> KeySet:
        try:
            answer = await send(self._http, "GET", url)
        except RequestFailed:
            raise KeysUnavailable("the provider's keys cannot be fetched") from None
        keys = answer.json.get("keys") if answer.status == 200 and answer.json is not None else None
        try:
            return KeySet.import_key_set({"keys": keys})  # type: ignore[typeddict-item]
        except (JoseError, ValueError, TypeError, KeyError, AttributeError):
            raise KeysUnavailable("the provider's keys cannot be read") from None


def _put(table: dict[str, Value], url: str, value: Value) -> None:
    """As the newest; the oldest goes where there are too many."""
    table.pop(url, None)
    table[url] = value
    if len(table) > MOST:
        del table[next(iter(table))]
