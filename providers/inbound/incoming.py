"""A request as it came, and where values stand in it."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any
from urllib.parse import parse_qsl

from everlink.answers import texts_at
from providers.events import Events, Unit
from providers.http import read_json

DIGITS = re.compile(r"[0-9]{1,16}")
NUMBER_UNITS = {"s": 1.0, "ms": 1000.0}


class Refused(Exception):
    """It is not the provider's, or too old. `code` is RFC 8935's word for it."""

    def __init__(self, message: str, code: str = "authentication_failed") -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Incoming:
    """What came. Headers are as they came, with names in small letters: one may have come twice."""

    method: str
    url: str  # as it was registered at the provider
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    query: str = field(repr=False)
    body: bytes = field(repr=False)

    def header(self, name: str) -> str:
        """The value of a header that came once.

        Raises:
            Refused: it is missing, or there are several, of which one may be somebody else's.
        """
        values = [value for known, value in self.headers if known == name]
        if len(values) != 1:
            raise Refused("a header is missing, or came twice")
        return values[0]

    @cached_property
    def once(self) -> dict[str, str]:
        """The headers that came once."""
        times = Counter(name for name, _ in self.headers)
        return {name: value for name, value in self.headers if times[name] == 1}


@dataclass(frozen=True)
class Said:
    """What came, by place."""

    places: dict[str, Any] = field(repr=False)

    def texts(self, path: str) -> list[str]:
        place, _, rest = path.partition(".")
        return texts_at(self.places.get(place), rest)

    def text(self, path: str) -> str | None:
        """What stands there, if it is one thing."""
        found = self.texts(path)
        return found[0] if len(found) == 1 else None

    def moment(self, path: str, unit: Unit) -> datetime | None:
        found = self.text(path)
        return moment(found, unit) if found is not None else None


def read(incoming: Incoming, events: Events) -> Said:
    """The places that need no proof."""
    fields = _form(incoming.body.decode(errors="replace")) if events.form else read_json(incoming.body)
    return Said({"body": fields, "header": incoming.once, "query": _form(incoming.query)})


def moment(text: str, unit: Unit) -> datetime | None:
    """A time as providers write it; None for anything else."""
    try:
        if unit == "iso":
            found = datetime.fromisoformat(text)
            return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
        return datetime.fromtimestamp(int(text) / NUMBER_UNITS[unit], UTC) if DIGITS.fullmatch(text) else None
    except (ValueError, OverflowError, OSError):
        return None


def _form(text: str) -> dict[str, Any]:
    """Fields by name; one that came twice is a list."""
    fields: dict[str, list[str]] = {}
    try:
        for name, value in parse_qsl(text, keep_blank_values=True, max_num_fields=200):
            fields.setdefault(name, []).append(value)
    except ValueError:
        return {}
    return {name: values[0] if len(values) == 1 else values for name, values in fields.items()}
