"""What a workflow holds of an activity that may wait for a customer and run again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from inspect import CORO_CREATED, getcoroutinestate
from typing import Any, TextIO

from temporalio import workflow

Future = asyncio.Future[Any]
Rest = Callable[[], Coroutine[Any, Any, Any]]
OnFailure = Callable[[BaseException], Rest | None]


class Handle(workflow.ActivityHandle[Any]):
    """The first run's future, and after a failure that is waited for, the task that waits and runs it again.

    To be a task of its own would cost each result a turn of the event loop, and so reorder the commands of workflows
    that began without the plugin. This one only passes on: callbacks are registered with the future that is at work
    and called where that calls them. It is a `Task` to whoever looks at its type, as the SDK's handle is, but runs
    nothing itself: `Task.__init__` is left out, and each public method answers for the future at work.
    """

    _asyncio_future_blocking = False

    def __init__(self, first: Future, on_failure: OnFailure) -> None:
        """`on_failure` answers what to do after the first run's failure, None where that is the result."""
        self._first = first
        self._on_failure = on_failure
        self._cancel_requested = False  # of the first run, while it ran
        self._rest: asyncio.Task[Any] | None = None
        first.add_done_callback(self._go_on)

    def _after_first(self) -> Rest | None:
        """What is left to do after the first run: nothing while it runs, and where its result is the handle's.

        Also where it was cancelled and failed for all that: whoever cancels waits for no customer.
        """
        if not self._first.done() or self._first.cancelled() or self._cancel_requested:
            return None
        error = self._first.exception()
        return None if error is None else self._on_failure(error)

    def _go_on(self, _: object = None) -> None:
        """Begin with what is left to do, once. Known before any callback of the workflow's is called."""
        if self._rest is None and (rest := self._after_first()) is not None:
            self._rest = asyncio.get_running_loop().create_task(rest())

    @property
    def _at_work(self) -> Future:
        return self._rest if self._rest is not None else self._first

    def done(self) -> bool:
        if self._rest is not None:
            return self._rest.done()
        return self._first.done() and self._after_first() is None

    def result(self) -> Any:
        self._must_be_done()
        return self._at_work.result()

    def exception(self) -> BaseException | None:
        self._must_be_done()
        return self._at_work.exception()

    def _must_be_done(self) -> None:
        if not self.done():
            raise asyncio.InvalidStateError("Result is not set.")

    def cancelled(self) -> bool:
        return self._at_work.cancelled()

    def cancel(self, msg: Any | None = None) -> bool:
        """Cancel what it does now: the activity, by its cancellation type, or its part in the wait."""
        self._go_on()
        if self._rest is not None and getcoroutinestate(self.get_coro()) == CORO_CREATED:
            # Not before it has begun: it could not say then, as an activity does, that it was cancelled.
            self.get_loop().call_soon(self._rest.cancel, msg)
            return True
        if not self._first.done():
            self._cancel_requested = True
        return self._at_work.cancel(msg)

    def add_done_callback(self, fn: Callable[[Any], object], *, context: Context | None = None) -> None:
        # The context is passed on as it is: a task that awaits has to wake up in its own.
        context = context or copy_context()
        self._at_work.add_done_callback(_Callback(self, fn, context), context=context)

    def remove_done_callback(self, fn: Callable[[Any], object]) -> int:
        return self._at_work.remove_done_callback(_Callback(self, fn))

    def __await__(self) -> Any:
        if not self.done():
            self._asyncio_future_blocking = True
            yield self
        return self.result()

    __iter__ = __await__

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._at_work!r}>"

    def get_loop(self) -> asyncio.AbstractEventLoop:
        return self._first.get_loop()

    def _task(self) -> asyncio.Task[Any]:
        at_work = self._at_work
        assert isinstance(at_work, asyncio.Task)
        return at_work

    def get_name(self) -> str:
        return self._task().get_name()

    def set_name(self, value: object, /) -> None:
        self._task().set_name(value)

    def get_context(self) -> Context:
        """From Python 3.12 on."""
        context: Context = getattr(self._task(), "get_context")()  # noqa: B009
        return context

    def get_coro(self) -> Any:
        return self._task().get_coro()

    def get_stack(self, *, limit: int | None = None) -> list[Any]:
        return self._task().get_stack(limit=limit)

    def print_stack(self, *, limit: int | None = None, file: TextIO | None = None) -> None:
        self._task().print_stack(limit=limit, file=file)

    def cancelling(self) -> int:
        return self._task().cancelling()

    def uncancel(self) -> int:
        return self._task().uncancel()


@dataclass(frozen=True)
class _Callback:
    """A callback as the future at work has it; equal to any other of the same function, so that it can be removed."""

    handle: Handle
    function: Callable[[Any], object]
    context: Context | None = field(default=None, compare=False)

    def __call__(self, finished: Future) -> None:
        if finished is self.handle._at_work:
            self.function(self.handle)
        else:
            self.handle.add_done_callback(self.function, context=self.context)
