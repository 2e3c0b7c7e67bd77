"""How rows are sent: so many at once, again where nobody could decide, and no further where it is of no use."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from everlink import Client, EverlinkError
from everlink.catalog import CatalogItem
from everlink.cli.importing import importer
from everlink.cli.importing.done import SUFFIX, Done
from everlink.cli.importing.importer import Importer, Tally
from everlink.cli.importing.reading import FileRefused, Row
from everlink.cli.importing.shapes import NangoAccount, Reader
from everlink.contract import AuthType

AWAY = {"retry-after": "0"}
Answers = Callable[[str], httpx.Response]


def accepted(account: str) -> httpx.Response:
    return httpx.Response(200, json={})


def refusal(status: int, code: str) -> httpx.Response:
    return httpx.Response(status, json={"error_code": code, "message": code}, headers=AWAY)


class Api:
    """Answers for each account, and counts: of all requests those under way at once, and of each account its own."""

    def __init__(self, answers: Answers = accepted) -> None:
        self.answers = answers
        self.asked: Counter[str] = Counter()
        self.under_way = self.most = 0

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        await asyncio.sleep(0)
        self.under_way -= 1
        account = request.url.params["linked_account_id"]
        self.asked[account] += 1
        return self.answers(account)

    async def imports(self, file: Path, rows: Iterator[Row], at_once: int = 8) -> tuple[Tally, list[str]]:
        tally, told = Tally(), list[str]()
        client = Client("https://everlink.example", "tk_x_y", http=self.http())
        with Done(file, "https://everlink.example", "tk_x_y") as done:
            one = Importer(client, reader(), done, tally, at_once=at_once, failed=lambda _, why: told.append(why))
            try:
                await one.run(rows)
            except EverlinkError as error:
                told.append(f"ended: {error}")
        return tally, told

    def http(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=httpx.MockTransport(self))


def reader() -> Reader:
    item = {"slug": "x", "name": "X", "description": "", "icon": "", "tags": [], "lifetimes": [], "fields": []}
    kind = {"auth_type": AuthType.OAUTH2, "auth_kind": "authorization_code", "own": False, "enabled": True}
    return Reader({"x": CatalogItem.model_validate({**item, **kind})}, {}, NangoAccount.END_USER)


def rows(count: int, read: list[int] | None = None) -> Iterator[Row]:
    for number in range(count):
        if read is not None:
            read.append(number)
        yield Row(number + 1, {"linked_account_id": f"a{number}", "slug": "x", "access_token": f"t{number}"})


@pytest.fixture(autouse=True)
def _in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importer, "PAUSES", (0.0,) * len(importer.PAUSES))


@pytest.mark.long
async def test_ten_thousand_rows_go_once_and_eight_at_a_time(tmp_path: Path) -> None:
    api = Api()
    assert await api.imports(tmp_path / "held", rows(10_000)) == (Tally(imported=10_000), [])
    assert set(api.asked.values()) == {1} and len(api.asked) == 10_000 and api.most == 8
    assert await api.imports(tmp_path / "held", rows(10_001)) == (Tally(imported=1, known=10_000), [])
    assert sum(api.asked.values()) == 10_001


async def test_provider_that_is_away_for_a_moment_fails_no_row_and_later_only_its_own(tmp_path: Path) -> None:
    def answers(account: str) -> httpx.Response:
        out = account == "a1" or (account == "a2" and api.asked[account] < 3)
        return refusal(502, "provider_unreachable") if out else accepted(account)

    api = Api(answers)
    tally, told = await api.imports(tmp_path / "held", rows(4))
    assert (tally, told) == (Tally(imported=3, failed=1), ["provider_unreachable (provider_unreachable)"])
    assert api.asked["a1"] == 1 + len(importer.PAUSES)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (refusal(401, "invalid_api_key"), "invalid_api_key"),
        (refusal(403, "insufficient_scope"), "insufficient_scope"),
        (refusal(503, "database_unavailable"), "database_unavailable"),
        (httpx.Response(502, text="<html>"), "Everlink cannot be reached"),
    ],
)
async def test_what_concerns_all_rows_ends_it(tmp_path: Path, answer: httpx.Response, words: str) -> None:
    api, read = Api(lambda account: accepted(account) if account in ("a0", "a1") else answer), list[int]()
    tally, told = await api.imports(tmp_path / "held", rows(100, read), at_once=2)
    assert (tally, told) == (Tally(imported=2), [f"ended: {words}"]) and len(read) < 10
    mended = Api()
    assert (await mended.imports(tmp_path / "held", rows(100)))[0] == Tally(imported=98, known=2)


def test_state_is_kept_in_no_file_that_a_link_leads_to(tmp_path: Path) -> None:
    """Beside a file in a folder that others may write to, the link may be theirs."""
    file, own = tmp_path / "held.csv", tmp_path / "own"
    own.touch(0o644)
    file.with_name(f"{file.name}{SUFFIX}").symlink_to(own)
    with pytest.raises(FileRefused):
        Done(file, "http://everlink.example", "tk_1")
    assert own.read_bytes() == b"" and own.stat().st_mode & 0o777 == 0o644


async def test_state_that_cannot_be_kept_ends_it(tmp_path: Path) -> None:
    """As on a full disk: what cannot be written down is not gone on with."""
    api, held = Api(), reader().held(next(rows(1)))
    with Done(tmp_path / "held", "", "") as done:
        done.add(held)
    done.path.write_bytes(b"something else" * 1000)
    with Done(tmp_path / "other", "", "") as done:
        done._execute("DROP TABLE done")
        async with Client("https://everlink.example", "tk_x_y", http=api.http()) as client:
            one = Importer(client, reader(), done, Tally(), at_once=2, failed=lambda *_: None)
            with pytest.raises(FileRefused, match="other.everlink-import cannot be written, or is something else"):
                await one.run(rows(100))
    with pytest.raises(FileRefused, match="held.everlink-import cannot be written, or is something else"):
        Done(tmp_path / "held", "", "")
