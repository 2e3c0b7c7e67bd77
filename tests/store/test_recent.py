"""What is kept in memory is kept for a moment, never what was forgotten meanwhile, and never without bound."""

from __future__ import annotations

import pytest

from store import recent
from store.recent import Recent


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


async def answer(recent: Recent[str], key: str, value: str | None = "value") -> str | None:
    async def read() -> str | None:
        return value

    return await recent.read(key, read, lambda found: found != "worthless")


async def test_value_is_found_until_its_time_is_over() -> None:
    clock = Clock()
    kept = Recent[str](1.0, clock=clock)
    assert kept.find("key") is None
    assert await answer(kept, "key") == "value"
    clock.now += 0.99
    assert (kept.find("key"), kept.find("other")) == ("value", None)
    clock.now += 0.01
    assert kept.find("key") is None


async def test_time_counts_from_before_the_read() -> None:
    clock = Clock()
    kept = Recent[str](1.0, clock=clock)

    async def slow() -> str:
        clock.now += 0.8
        return "value"

    await kept.read("key", slow)
    clock.now += 0.3
    assert kept.find("key") is None


async def test_nothing_is_kept_where_no_time_is_given_or_nothing_was_worth_it() -> None:
    never, kept = Recent[str](0.0), Recent[str](1.0)
    for one, value in ((never, "value"), (kept, "worthless"), (kept, None)):
        assert await answer(one, "key", value) == value
        assert one.find("key") is None


async def test_what_is_forgotten_while_it_is_read_is_not_kept() -> None:
    kept = Recent[str](1.0)

    async def overtaken() -> str:
        kept.forget("key")
        return "old"

    assert await kept.read("key", overtaken) == "old"
    assert kept.find("key") is None
    await answer(kept, "key")
    kept.forget("key")
    assert kept.find("key") is None


async def test_oldest_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recent, "MOST", 3)
    kept = Recent[str](60.0)
    for key in ("a", "b", "c", "a", "d"):
        await answer(kept, key)
    assert [key for key in "abcd" if kept.find(key)] == ["a", "c", "d"]
