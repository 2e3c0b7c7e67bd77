"""`everlink import FILE`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from everlink.cli.importing.done import Done
from everlink.cli.importing.importer import Importer, Tally
from everlink.cli.importing.reading import FileRefused, Row, RowRefused, Rows
from everlink.cli.importing.shapes import NangoAccount, Reader
from everlink.cli.session import ask, fail, in_words, target
from everlink.cli.showing import printable
from everlink.client import Client
from everlink.errors import EverlinkError, Unavailable

MOST_AT_ONCE = 64


def import_connections(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="CSV, JSON lines, or a JSON array")],
    given_slugs: Annotated[
        list[str] | None,
        typer.Option("--map", metavar="THEIRS=OURS", help="What an application is called there and here; repeat it"),
    ] = None,
    nango_account: Annotated[
        NangoAccount, typer.Option(help="What becomes the linked account of a connection from Nango")
    ] = NangoAccount.END_USER,
    at_once: Annotated[int, typer.Option(min=1, max=MOST_AT_ONCE, help="Rows under way at the same time")] = 8,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what is wrong with which row")] = False,
) -> None:
    """Take over connections that another system holds, without their customers.

    Run it again after it was stopped, or to try again what failed: nothing is imported twice.
    What it has done is kept beside the file. The shapes of a row are in docs/cli.md.
    """
    slugs, chosen = _mapping(given_slugs or []), target(context)
    console = Console(stderr=True, highlight=False, emoji=False, markup=False)

    def tell(line: int, why: str) -> None:
        console.print(printable(f"line {line}: {why}"), soft_wrap=True)

    async def work(client: Client) -> tuple[Tally, str]:
        # All of the catalog, once: which applications are enabled, and what each of them asks.
        reader = Reader({one.slug: one async for one in client.catalog.all()}, slugs, nango_account)
        tally = Tally()
        try:
            with Rows(file) as rows:
                if dry_run:
                    _check(rows, reader, tally, tell)
                    return tally, ""
                with Done(file, chosen.url, chosen.api_key) as done, _bar(console) as bar:
                    importer = Importer(client, reader, done, tally, at_once=at_once, failed=tell)
                    followed = _Followed(rows, bar, tally)
                    await importer.run(followed)
                    followed.show()
        except Unavailable as away:
            return tally, f"{in_words(away)}; run it again to go on"
        except EverlinkError as error:
            return tally, in_words(error)
        except FileRefused as refused:
            return tally, str(refused)
        return tally, ""

    tally, trouble = ask(context, work)
    if dry_run:
        typer.echo(f"{tally.imported} rows can be sent, {tally.failed} cannot; nothing was sent")
    else:
        typer.echo(f"{tally.imported} imported, {tally.known} imported before, {tally.failed} failed")
    if trouble:
        fail(trouble)
    if tally.failed:
        raise typer.Exit(1)


def _mapping(given: list[str]) -> dict[str, str]:
    pairs = [one.partition("=") for one in given]
    if not all(theirs and ours for theirs, _, ours in pairs):
        fail("--map takes THEIRS=OURS, as in --map hubspot-prod=hubspot")
    return {theirs: ours for theirs, _, ours in pairs}


def _check(rows: Rows, reader: Reader, tally: Tally, tell: Callable[[int, str], None]) -> None:
    for row in rows:
        try:
            reader.held(row)
            tally.imported += 1
        except RowRefused as refused:
            tally.failed += 1
            tell(row.line, str(refused))


def _bar(console: Console) -> Progress:
    """For people; it stays away from pipes and files."""
    said = TextColumn("{task.description}")
    columns = (BarColumn(), TaskProgressColumn(), said, TimeElapsedColumn())
    return Progress(*columns, console=console, disable=not console.is_terminal)


class _Followed:
    """The rows, while the bar follows how much of the file was read: nobody knows how many there are."""

    def __init__(self, rows: Rows, bar: Progress, tally: Tally) -> None:
        self._rows, self._bar, self._tally = rows, bar, tally
        self._task = bar.add_task("", total=rows.size)

    def __iter__(self) -> Iterator[Row]:
        for row in self._rows:
            yield row
            self.show()

    def show(self) -> None:
        said = f"{self._tally.imported + self._tally.known} imported, {self._tally.failed} failed"
        self._bar.update(self._task, completed=self._rows.position, description=said)
