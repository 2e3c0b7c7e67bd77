"""How long a workflow waits for its customer: by the plugin, and by call."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar

LONGEST = timedelta(days=36_500)


@dataclass(frozen=True)
class Wait:
    """`Wait.FOREVER`, `Wait.at_most(timedelta(days=2))` or `Wait.NEVER`, which fails at once."""

    limit: timedelta | None

    FOREVER: ClassVar[Wait]
    NEVER: ClassVar[Wait]

    @classmethod
    def at_most(cls, limit: timedelta) -> Wait:
        """When the time is over, the activity's own error reaches the workflow.

        Raises:
            ValueError: the limit is negative, or longer than dates go.
        """
        if limit < timedelta():
            raise ValueError("a wait cannot be shorter than nothing")
        if limit > LONGEST:
            raise ValueError("a wait of more than a hundred years is Wait.FOREVER")
        return cls(limit)

    @property
    def seconds(self) -> float | None:
        """The limit as it is recorded; None: there is none."""
        return None if self.limit is None else self.limit.total_seconds()


Wait.FOREVER = Wait(None)
Wait.NEVER = Wait(timedelta())

_chosen: ContextVar[Wait | None] = ContextVar("everlink_wait", default=None)


@contextmanager
def waiting(wait: Wait) -> Iterator[None]:
    """In workflow code: activities that are started in this block wait like this, whatever the plugin says.

    It decides what a workflow does, like any of its code: to change it under workflows that wait is a change to patch.
    """
    token = _chosen.set(wait)
    try:
        yield
    finally:
        _chosen.reset(token)


def chosen() -> Wait | None:
    """What the present block says; None outside of any."""
    return _chosen.get()
