"""Providers' public keys (JWKS, RFC 7517), fetched where they are published and kept for a while."""

from __future__ import annotations

from time import monotonic

import httpx
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from providers.http import RequestFailed, send

KEEP_SECONDS = 3600.0
MOST = 1000  # addresses
AGAIN_SECONDS = 60.0  # a key that is not among them may be new: they are fetched again, but not for everybody's token


class KeysUnavailable(Exception):
    """The provider's keys cannot be fetched now."""


class KeySets:
    """By address. A failure to fetch leaves what there was."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http
        self._kept: dict[str, tuple[float, KeySet]] = {}

    async def get(self, url: str, *, newer: bool = False) -> KeySet:
        """The keys; `newer`: not those that were there a minute ago.

        Raises:
            KeysUnavailable: there are none in memory, and none can be fetched.
        """
        at, kept = self._kept.get(url, (0.0, None))
        if kept is not None and monotonic() - at < (AGAIN_SECONDS if newer else KEEP_SECONDS):
            return kept
        try:
            kept = await self._fetch(url)
        except KeysUnavailable:
            if kept is None:
                raise
            at = monotonic() - KEEP_SECONDS + AGAIN_SECONDS
        else:
            at = monotonic()
        self._kept.pop(url, None)
        self._kept[url] = at, kept
        if len(self._kept) > MOST:
            del self._kept[next(iter(self._kept))]
        return kept

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
