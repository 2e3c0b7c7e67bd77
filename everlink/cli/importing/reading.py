"""Rows of a file, one after the other: CSV, JSON lines, or one JSON array. Never the whole file in memory."""

from __future__ import annotations

import codecs
import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self

LONGEST_ROW = 1_000_000  # characters; the API takes no larger body
CHUNK = 65_536  # bytes
BETWEEN = " \t\r\n,"  # what may stand between two objects of an array


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


DECODER = json.JSONDecoder(parse_constant=_no_number)


class FileRefused(Exception):
    """The file cannot be read from here on. The message has nothing of its content."""


class RowRefused(Exception):
    """This row cannot be imported. The message has nothing of its values."""


@dataclass(frozen=True)
class Row:
    """One object of the file; `line` is where it begins, from 1."""

    line: int
    values: dict[str, Any] | RowRefused


class Rows:
    """`with Rows(path) as rows: for row in rows: ...`

    Raises:
        FileRefused: it cannot be opened, is no UTF-8, or is not what its beginning promises.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._file = path.open("rb")
            self.size = path.stat().st_size
        except OSError as error:
            raise FileRefused(f"the file cannot be read: {error.strerror}") from None
        self.position = 0  # bytes that were read
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def __iter__(self) -> Iterator[Row]:
        match self._first_letter():
            case "[":
                return self._array()
            case "{":
                return self._json_lines()
            case _:
                return self._csv()

    def _first_letter(self) -> str:
        return self._file.peek().removeprefix(codecs.BOM_UTF8).lstrip()[:1].decode("ascii", "replace")

    def _text(self, read: bytes) -> str:
        self.position += len(read)
        try:
            return self._decoder.decode(read, final=not read)
        except UnicodeDecodeError:
            raise FileRefused("the file is not UTF-8") from None

    def _lines(self) -> Iterator[str]:
        number = 0
        while read := self._file.readline(LONGEST_ROW):
            number += 1
            if len(read) == LONGEST_ROW and not read.endswith(b"\n"):
                raise FileRefused(f"line {number} is too long")
            yield self._text(read)
        self._text(b"")

    def _json_lines(self) -> Iterator[Row]:
        for number, line in enumerate(self._lines(), 1):
            if not line.strip():
                continue
            try:
                yield Row(number, _object(DECODER.decode(line)))
            except (ValueError, RecursionError):
                yield Row(number, RowRefused("it is not valid JSON"))

    def _csv(self) -> Iterator[Row]:
        reader = csv.reader(self._lines(), strict=True)
        try:
            header = [name.strip() for name in next(reader, [])]
            if len(set(header)) < len(header):
                raise FileRefused("two columns have the same name")
            line = reader.line_num + 1
            for cells in reader:
                if cells:
                    yield Row(line, _record(header, cells))
                line = reader.line_num + 1
        except csv.Error:
            raise FileRefused(f"line {reader.line_num} is not valid CSV") from None

    def _array(self) -> Iterator[Row]:
        line, kept, inside = 1, "", False
        while read := self._file.read(CHUNK):
            kept += self._text(read)
            while True:
                rest = kept.lstrip(BETWEEN)
                line += kept[: len(kept) - len(rest)].count("\n")
                kept = rest
                if not inside:
                    kept, inside = kept[1:], True
                    continue
                if kept.startswith("]"):
                    return
                try:
                    value, end = DECODER.raw_decode(kept)
                except (ValueError, RecursionError):
                    break  # as far as one can see it goes on in the next chunk
                yield Row(line, _object(value))
                line += kept[:end].count("\n")
                kept = kept[end:]
            if len(kept) > LONGEST_ROW:
                break
        raise FileRefused(f"what begins in line {line} is not valid JSON, or the array does not end")


def _object(value: Any) -> dict[str, Any] | RowRefused:
    if not isinstance(value, dict):
        return RowRefused("it is not a JSON object")
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return RowRefused("a text has half a character")
    return value


def _record(header: list[str], cells: list[str]) -> dict[str, Any] | RowRefused:
    """A column `fields.api_key` is the `api_key` in `fields`; an empty cell is nothing."""
    if len(cells) != len(header):
        return RowRefused(f"it has {len(cells)} cells, and the header has {len(header)}")
    record: dict[str, Any] = {}
    for name, value in zip(header, cells, strict=True):
        if value:
            *groups, last = name.split(".")
            place = record
            for group in groups:
                place = place.setdefault(group, {})
                if not isinstance(place, dict):
                    return RowRefused("a column is a value and a group at once")
            place[last] = value
    return record
