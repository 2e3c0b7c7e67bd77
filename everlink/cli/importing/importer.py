"""Sends rows to Everlink: so many at once, each until it is decided."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from everlink.cli.importing.done import Done
from everlink.cli.importing.reading import FileRefused, Row, RowRefused
from everlink.cli.importing.shapes import Held, Reader
from everlink.cli.session import in_words
from everlink.client import Client
from everlink.errors import EverlinkError, NotFound, Unavailable

PAUSES = (1.0, 2.0, 4.0, 8.0)  # seconds between the tries of a row that nobody could decide
REFUSED_AS_SUCH = (401, 403)  # the API key, and so every row

Failed = Callable[[int, str], None]  # the line, and why


@dataclass
class Tally:
    """How many rows fared how."""

    imported: int = 0
    known: int = 0  # imported by an earlier run
    failed: int = 0


class Importer:
    """One run over one file."""

    def __init__(
        self, client: Client, reader: Reader, done: Done, tally: Tally, *, at_once: int, failed: Failed
    ) -> None:
        self._client = client
        self._reader = reader
        self._done = done
        self._tally = tally
        self._slots = asyncio.Semaphore(at_once)
        self._failed = failed
        self._trouble: EverlinkError | FileRefused | None = None

    async def run(self, rows: Iterable[Row]) -> None:
        """Import them all; what fails is told and passed over.

        Raises:
            EverlinkError: the key is refused, or Everlink does not answer. What was sent has been finished.
            FileRefused: see `Rows`.
        """
        async with asyncio.TaskGroup() as group:
            try:
                for row in rows:
                    await self._slots.acquire()
                    if self._trouble is not None:
                        break
                    group.create_task(self._one(row)).add_done_callback(lambda _: self._slots.release())
            except FileRefused as refused:
                self._trouble = refused
        if self._trouble is not None:
            raise self._trouble

    async def _one(self, row: Row) -> None:
        try:
            held = self._reader.held(row)
            if self._done.has(held):
                self._tally.known += 1
                return
            await self._decided(held)
            self._done.add(held)
            self._tally.imported += 1
        except RowRefused as refused:
            self._tell(row, str(refused))
        except FileRefused as refused:
            self._trouble = refused
        except EverlinkError as error:
            if _concerns_all(error):
                self._trouble = error
            else:
                self._tell(row, in_words(error))

    async def _decided(self, held: Held) -> None:
        for pause in PAUSES:
            try:
                await self._sent(held)
                return
            except Unavailable:
                await asyncio.sleep(pause)
        await self._sent(held)

    async def _sent(self, held: Held) -> None:
        """An account is made where it turns out to be missing: most are there already, and keep their names."""
        try:
            await self._take_over(held)
        except NotFound as error:
            if error.error_code != "linked_account_not_found":
                raise
            await self._client.linked_accounts.save(held.account_id, name=held.account_name)
            await self._take_over(held)

    async def _take_over(self, held: Held) -> None:
        accounts = self._client.linked_accounts
        if held.grant is not None:
            await accounts.migrate(held.account_id, held.slug, held.grant)
        else:
            await accounts.save_key(held.account_id, held.slug, held.key or {}, expires_at=held.ends_at)

    def _tell(self, row: Row, why: str) -> None:
        self._tally.failed += 1
        self._failed(row.line, why)


def _concerns_all(error: EverlinkError) -> bool:
    """Whether the next row would fare no better: a provider that is away concerns its own rows."""
    away = isinstance(error, Unavailable) and error.error_code != "provider_unreachable"
    return away or error.status in REFUSED_AS_SUCH
