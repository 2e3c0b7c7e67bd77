"""What has been imported, kept beside the file, so that an import that was killed goes on where it was."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import sqlite3
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Self

from everlink.cli.importing.reading import FileRefused
from everlink.cli.importing.shapes import Held

SUFFIX = ".everlink-import"


class Done:
    """`with Done(file, url, api_key) as done: ...`

    It holds a keyed hash of each row that was imported, and nothing that can be read back: the key is the API key. So
    another key or another address starts anew, which the API takes for what it is.

    Raises:
        FileRefused: it cannot be written, or is something else.
    """

    def __init__(self, file: Path, url: str, api_key: str) -> None:
        self.path = file.with_name(file.name + SUFFIX)
        self._url, self._key = url, api_key.encode()
        try:
            # Through no link, which in a shared folder may be somebody else's.
            os.close(os.open(self.path, os.O_CREAT | os.O_RDWR | getattr(os, "O_NOFOLLOW", 0), 0o600))
            self.path.chmod(0o600)
        except OSError:
            raise self._refused() from None
        self._database = sqlite3.connect(self.path, isolation_level=None)
        # A kill loses nothing; after a power cut, what is sent again changes nothing.
        self._execute("PRAGMA synchronous = OFF")
        self._execute("CREATE TABLE IF NOT EXISTS done (row BLOB PRIMARY KEY) WITHOUT ROWID")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.close()

    def has(self, held: Held) -> bool:
        return self._execute("SELECT 1 FROM done WHERE row = ?", self._hash(held)).fetchone() is not None

    def add(self, held: Held) -> None:
        self._execute("INSERT OR IGNORE INTO done VALUES (?)", self._hash(held))

    def _execute(self, statement: str, *values: bytes) -> sqlite3.Cursor:
        try:
            return self._database.execute(statement, values)
        except sqlite3.Error:
            raise self._refused() from None

    def _refused(self) -> FileRefused:
        return FileRefused(f"{self.path.name} cannot be written, or is something else")

    def _hash(self, held: Held) -> bytes:
        said = json.dumps([self._url, asdict(held)], sort_keys=True, default=str)
        return hmac.digest(self._key, said.encode(), hashlib.sha256)
