"""When a credential is fetched, and what comes of a refusal that nobody can judge in time."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from everlink import Client, ReauthRequired, Unavailable
from everlink.plugin import kept, vending
from everlink.plugin.kept import Kept
from everlink.plugin.vending import Vending


class Api:
    """Answers as Everlink does."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.generation = 1
        self.life: float | None = 3600.0  # seconds of the next token
        self.refreshed: dict[str, Any] = {}
        self.report = httpx.Response(202, json={"accepted": True})
        self.hangs: set[str] = set()

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        what = request.url.path.rpartition("/")[2]
        self.asked.append(what)
        if what in self.hangs:
            await asyncio.sleep(60)
        if what == "report":
            return self.report
        if what == "refresh":
            common = {"status": "active", "health": "ok", "expires_at": None, "verdict": "ok"}
            return httpx.Response(200, json={**common, "generation": self.generation, **self.refreshed})
        ends = None if self.life is None else (datetime.now(UTC) + timedelta(seconds=self.life)).isoformat()
        token = {"connection_id": "con_1", "access_token": "a", "token_type": None, "fields": None, "extra": {}}
        return httpx.Response(200, json={**token, "expires_at": ends, "ends_at": None, "generation": self.generation})


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.fixture
def of(api: Api) -> Vending:
    http = httpx.AsyncClient(transport=httpx.MockTransport(api))
    return Vending(Client("https://everlink.example", "tk_x_y", http=http))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(kept, "monotonic", lambda: now[0])
    return now


@pytest.mark.parametrize(("life", "seconds"), [(3600.0, 60.0), (None, 60.0), (40.0, 20.0)])
async def test_how_long_a_credential_is_kept(
    of: Vending, api: Api, clock: list[float], life: float | None, seconds: float
) -> None:
    api.life = life
    await of.token("con_1")
    clock[0] += seconds - 1
    await of.token("con_1")
    assert api.asked == ["token"]
    clock[0] += 1
    await of.token("con_1")
    assert api.asked == ["token", "token"]


async def test_what_has_ended_already_by_our_clock_is_not_kept(of: Vending, api: Api) -> None:
    api.life = -5.0
    await of.token("con_1")
    await of.token("con_1")
    assert api.asked == ["token", "token"]


def test_as_many_are_kept_as_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "MOST", 2)
    some = Kept[int]()
    for name in ("a", "b", "a", "c"):
        some.keep(name, 1, 60)
    assert [some.find(name) for name in ("a", "b", "c")] == [1, None, 1]


async def test_a_failed_fetch_is_tried_anew(of: Vending, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    good, api.generation = api.__call__, 2

    async def down(request: httpx.Request) -> httpx.Response:
        return httpx.Response(500, json={"error_code": "x", "message": "y"})

    monkeypatch.setattr(of._client._transport._http, "_transport", httpx.MockTransport(down))
    with pytest.raises(Exception, match="y"):
        await of.token("con_1")
    monkeypatch.setattr(of._client._transport._http, "_transport", httpx.MockTransport(good))
    assert (await of.token("con_1")).generation == 2


async def test_a_refusal_is_verified_once_for_many(of: Vending, api: Api) -> None:
    token = await of.token("con_1")
    assert await asyncio.gather(*(of.verified(token) for _ in range(50))) == [None] * 50
    assert await of.verified(token) is None
    assert api.asked == ["token", "report", "refresh"]


async def test_what_has_just_been_renewed_is_not_renewed_for_the_next_refusal(of: Vending, api: Api) -> None:
    token = await of.token("con_1")
    api.generation = 2
    renewed = await of.verified(token)
    assert renewed is not None and renewed.generation == 2
    assert await of.verified(renewed) is None
    assert api.asked == ["token", "report", "refresh", "token"]


@pytest.mark.parametrize("verdict", ["transient", "application_error", None])
async def test_what_nobody_can_say_now_is_waited_for(of: Vending, api: Api, verdict: str | None) -> None:
    token, api.refreshed = await of.token("con_1"), {"verdict": verdict}
    with pytest.raises(ReauthRequired) as told:
        await of.verified(token)
    assert (told.value.connection_id, told.value.generation) == ("con_1", 1)
    api.refreshed = {}
    assert await of.verified(token) is None  # it was not taken for an answer


async def test_what_takes_too_long_is_waited_for(of: Vending, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vending, "VERIFYING", 0.1)
    token, api.hangs = await of.token("con_1"), {"refresh"}
    with pytest.raises(ReauthRequired, match="being verified"):
        await of.verified(token)


async def test_a_report_that_nobody_takes_is_no_death(of: Vending, api: Api) -> None:
    token = await of.token("con_1")
    api.report = httpx.Response(502, json={"message": "gone"})
    with pytest.raises(Unavailable):
        await of.verified(token)
