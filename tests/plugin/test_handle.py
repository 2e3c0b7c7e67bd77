"""A handle as asyncio sees it: a future that passes on what the one at work does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any

import pytest
from temporalio import workflow

from everlink.plugin.handle import Handle


class Dead(Exception):
    pass


def handle_of(first: Awaitable[Any], again: Callable[[], Any] | None = None) -> Handle:
    """Whose first run is waited for where it raises Dead; then `again` runs."""

    async def rest() -> Any:
        assert again is not None
        return await again()

    return Handle(asyncio.ensure_future(first), lambda error: rest if isinstance(error, Dead) else None)


async def gives(answer: str) -> str:
    return answer


async def fails(error: Exception) -> str:
    raise error


async def test_it_is_what_the_sdk_gives() -> None:
    handle = handle_of(gives("one"))
    assert isinstance(handle, workflow.ActivityHandle) and isinstance(handle, asyncio.Task) and asyncio.isfuture(handle)
    assert asyncio.ensure_future(handle) is handle
    assert handle.get_loop() is asyncio.get_running_loop()
    handle.set_name("mine")
    assert handle.get_name() == "mine" and "mine" in repr(handle)
    assert await handle == "one"


async def test_a_failure_of_its_own_is_its_own() -> None:
    handle = handle_of(fails(ValueError("no")))
    with pytest.raises(ValueError, match="no"):
        await handle
    assert isinstance(handle.exception(), ValueError)


async def test_it_runs_again_and_is_not_done_before() -> None:
    gate = asyncio.Event()

    async def again() -> str:
        await gate.wait()
        return "two"

    first = asyncio.ensure_future(fails(Dead()))
    handle = Handle(first, lambda error: again if isinstance(error, Dead) else None)
    called: list[Any] = []
    handle.add_done_callback(called.append)
    while not first.done():
        await asyncio.sleep(0)
        assert not handle.done()
    with pytest.raises(asyncio.InvalidStateError):
        handle.result()
    with pytest.raises(asyncio.InvalidStateError):
        handle.exception()
    for _ in range(5):
        await asyncio.sleep(0)
    assert not handle.done() and not called
    gate.set()
    assert await asyncio.gather(handle, asyncio.shield(handle), asyncio.wait_for(handle, 5)) == ["two"] * 3
    assert called == [handle]


async def test_a_callback_is_removed_whichever_future_has_it() -> None:
    gate, called = asyncio.Event(), []

    async def again() -> str:
        await gate.wait()
        return "two"

    handle = handle_of(fails(Dead()), again)
    handle.add_done_callback(called.append)
    for _ in range(5):
        await asyncio.sleep(0)
    assert handle.remove_done_callback(called.append) == 1
    assert handle.remove_done_callback(called.append) == 0
    gate.set()
    await handle
    assert not called


@pytest.mark.parametrize("turns", range(5))
async def test_it_is_cancelled_at_any_time(turns: int) -> None:
    """Also between the end of the first run and the beginning of the wait."""
    handle = handle_of(fails(Dead()), asyncio.Event().wait)
    for _ in range(turns):
        await asyncio.sleep(0)
    assert handle.cancel()
    with pytest.raises(asyncio.CancelledError):
        await handle
    assert handle.cancelled() and handle.done() and not handle.cancel()


async def test_what_is_cancelled_does_not_begin_to_wait() -> None:
    """The first run goes on after its cancellation, as an activity may, and meets a dead connection."""
    gate = asyncio.Event()

    async def goes_on() -> str:
        try:
            await gate.wait()
        except asyncio.CancelledError:
            await gate.wait()
        raise Dead

    handle = handle_of(goes_on(), asyncio.Event().wait)
    await asyncio.sleep(0)
    assert handle.cancel()
    gate.set()
    with pytest.raises(Dead):
        await asyncio.wait_for(asyncio.shield(handle), 5)
    assert handle.done() and not handle.cancelled()


@pytest.mark.parametrize("turns", range(1, 5))
async def test_a_wait_hears_of_its_cancellation_whenever_that_comes(turns: int) -> None:
    async def again() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ValueError("cancelled") from None
        return "two"

    handle = Handle(asyncio.ensure_future(fails(Dead())), lambda error: again if isinstance(error, Dead) else None)
    for _ in range(turns):
        await asyncio.sleep(0)
    assert handle.cancel()
    with pytest.raises(ValueError, match="cancelled"):
        await handle


async def test_a_task_that_waits_for_it_passes_its_cancellation_on() -> None:
    handle = handle_of(fails(Dead()), asyncio.Event().wait)

    async def awaits() -> None:
        await handle

    task = asyncio.create_task(awaits())
    for _ in range(5):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert handle.cancelled()


async def test_who_waits_wakes_up_in_a_context_of_its_own() -> None:
    variable: ContextVar[str] = ContextVar("variable", default="none")
    handle = handle_of(fails(Dead()), lambda: gives("two"))

    async def awaits(name: str) -> str:
        variable.set(name)
        await handle
        variable.set(variable.get() + " again")
        await asyncio.sleep(0)
        return variable.get()

    assert await asyncio.gather(awaits("one"), awaits("two")) == ["one again", "two again"]
    assert variable.get() == "none"
