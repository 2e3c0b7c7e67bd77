"""The credentials of one worker process, fetched once for all who ask at a time; and what comes of a refusal."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

from everlink.client import Client
from everlink.contract import ConnectionStatus, Verdict
from everlink.errors import ReauthRequired, Unavailable
from everlink.models import Token
from everlink.plugin.kept import Kept

LIFE = 60.0  # seconds that a credential is asked to live, and that it is kept at most: what ends elsewhere is seen then
VERIFYING = 20.0  # seconds that an activity waits for what the provider tells Everlink
UNDECIDED = frozenset({Verdict.TRANSIENT, Verdict.APPLICATION_ERROR, None})

Answer = TypeVar("Answer")


class Vending:
    """Every method raises what `client.connections.token()` does."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._kept = Kept[Token]()
        self._accepted = Kept[int]()  # generations that the provider accepts, though it refused a request with one
        self._asking: dict[tuple[Any, ...], asyncio.Task[Any]] = {}

    async def token(self, connection_id: str) -> Token:
        """A credential that lives for a while."""
        return self._kept.find(connection_id) or await self._fetch(connection_id)

    def forget(self, connection_id: str) -> None:
        """Whoever asks next is told how the connection is then."""
        self._kept.forget(connection_id)

    async def newer(self, refused: Token) -> Token | None:
        """Another credential than the one that was refused; None where there is none by now."""
        kept = self._kept.find(refused.connection_id)
        if kept is None or kept.generation <= refused.generation:
            kept = await self._fetch(refused.connection_id)
        return kept if kept.generation > refused.generation else None

    async def verified(self, refused: Token) -> Token | None:
        """What comes of a refusal, once Everlink has asked the provider itself.

        Answers the credential that took the refused one's place; None where the provider accepts that one, and so
        refuses the request for another reason.

        Raises:
            ReauthRequired: it is dead; or it is not known yet, and being verified.
        """
        if self._accepted.find(refused.connection_id) == refused.generation:
            return None
        return await self._once(self._verify, refused.connection_id, refused.generation)

    async def _fetch(self, connection_id: str) -> Token:
        return await self._once(self._ask, connection_id)

    async def _ask(self, connection_id: str) -> Token:
        self._kept.forget(connection_id)  # where there is none any more, nobody is given the one before
        token = await self._client.connections.token(connection_id, min_ttl=LIFE)
        self._kept.keep(connection_id, token, _seconds_kept(token))
        return token

    async def _verify(self, connection_id: str, generation: int) -> Token | None:
        await self._client.connections.report(connection_id, generation)
        try:
            async with asyncio.timeout(VERIFYING):
                # Joins the verification, or comes after it.
                outcome = await self._client.connections.refresh(connection_id, newer_than=generation)
        except (TimeoutError, Unavailable):
            raise _undecided(connection_id, generation) from None
        if outcome.status is ConnectionStatus.ACTIVE and outcome.generation == generation:
            if outcome.verdict in UNDECIDED:
                raise _undecided(connection_id, generation)
            self._accepted.keep(connection_id, generation, LIFE)
            return None
        token = await self._ask(connection_id)
        self._accepted.keep(connection_id, token.generation, LIFE)  # the provider gave it out, or was asked, just now
        return token if token.generation > generation else None

    async def _once(self, ask: Callable[..., Awaitable[Answer]], *of: Any) -> Answer:
        """One for all who ask at a time. It goes on where the first of them is cancelled."""
        key = (ask, *of)
        task = self._asking.get(key)
        if task is None:
            task = self._asking[key] = asyncio.ensure_future(ask(*of))
            task.add_done_callback(lambda done: self._answered(key, done))
        answer: Answer = await asyncio.shield(task)
        return answer

    def _answered(self, key: tuple[Any, ...], done: asyncio.Future[Any]) -> None:
        del self._asking[key]
        if not done.cancelled():
            done.exception()  # nobody may be left who waits for it


def _seconds_kept(token: Token) -> float:
    """Half of what is left of its life, so that whoever is given it has time to use it."""
    if token.expires_at is None:
        return LIFE
    return min(LIFE, (token.expires_at - datetime.now(UTC)).total_seconds() / 2)


def _undecided(connection_id: str, generation: int) -> ReauthRequired:
    words = "the provider refuses the credential; whether the customer has to reconnect is being verified"
    return ReauthRequired(words, connection_id=connection_id, generation=generation)
