"""`everlink.credential()`: a connection's credential for the code of an activity."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar

from everlink.models import Token
from everlink.plugin.secrets import Secrets
from everlink.plugin.vending import Vending


class Credential(Token):
    """A credential in the clear, for the activity that asked, and for no other code."""

    async def rejected(self) -> None:
        """The provider refused it, as a library of its own told you: say so here, then let that error pass.

        Comes back where a retry of the activity may fare better: there is another credential by now, or the provider
        accepts this one, and refused something else.

        Raises:
            ReauthRequired: it is dead; or that is not known yet, and being verified.
        """
        handout = current()
        if await handout.newer(self) is None:
            await handout.verified(self)


class Handout:
    """Credentials for one activity, which are remembered so that none leaves it."""

    def __init__(self, vending: Vending) -> None:
        self._vending = vending
        self.secrets = Secrets()

    async def token(self, connection_id: str) -> Token:
        return self._given(await self._vending.token(connection_id))

    async def newer(self, refused: Token) -> Token | None:
        token = await self._vending.newer(refused)
        return token and self._given(token)

    async def verified(self, refused: Token) -> Token | None:
        token = await self._vending.verified(refused)
        return token and self._given(token)

    def _given(self, token: Token) -> Token:
        self.secrets.add(token)
        return token


in_activity: ContextVar[Handout | None] = ContextVar("everlink_handout", default=None)


def current() -> Handout:
    """Of the activity that asks. Raises RuntimeError elsewhere, also in an activity that is no coroutine."""
    found = in_activity.get()
    if found is None:
        raise RuntimeError("credentials are for `async def` activities of a worker that has the EverlinkPlugin")
    return found


@asynccontextmanager
async def credential(connection_id: str) -> AsyncIterator[Credential]:
    """A connection's credential, good for half a minute at least where the provider gives that much.

    It is for this activity alone: one that returns it, or puts it into a heartbeat or an error, fails.

    Raises:
        ReauthRequired: only the customer can help. Let it pass: the workflow waits for them.
        Unavailable: the provider does not renew it now, and what was there has expired.
    """
    yield Credential.model_construct(**dict(await current().token(connection_id)))
