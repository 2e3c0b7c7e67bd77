"""What customers read, in their language. The texts are in `texts/`, one file for each language."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from babel import Locale, negotiate_locale
from babel.dates import format_datetime, format_timedelta
from markupsafe import Markup, escape

TEXTS = Path(__file__).parent / "texts"
ENGLISH = "en"
LONGEST_HEADER = 500
# Around what stands in a sentence of the other direction, so that neither turns the other's marks (UAX 9).
ISOLATE = "\u2068{}\u2069"


@cache
def languages() -> tuple[str, ...]:
    return tuple(sorted(file.stem for file in TEXTS.glob("*.yaml")))


@cache
def texts(language: str) -> dict[str, str]:
    """All texts of a language by their keys; one in a group is `group.name`."""
    return dict(_flat(yaml.safe_load((TEXTS / f"{language}.yaml").read_text(encoding="utf-8"))))


class Words:
    """One reader's language."""

    def __init__(self, language: str) -> None:
        self.language = language
        self._locale = Locale.parse(language)
        self._texts = texts(language)

    @classmethod
    def of(cls, locale: str | None, accept_language: str | None) -> Words:
        """As the session says, or else the browser, or else English."""
        wanted = [*([locale] if locale else []), *_accepted(accept_language or "")]
        return cls(negotiate_locale([tag.lower() for tag in wanted], languages(), sep="-") or ENGLISH)

    @property
    def direction(self) -> str:
        return self._locale.text_direction

    def __call__(self, key: str, **values: object) -> str:
        """A text, with values in its places."""
        return self._texts[key].format(**{name: self._isolated(str(value)) for name, value in values.items()})

    def marked(self, key: str, **values: Markup) -> Markup:
        """A text with pieces of HTML in its places."""
        return Markup(escape(self._texts[key])).format(**values)

    def ago(self, moment: datetime, now: datetime) -> str:
        """How long ago, to the minute: "3 days ago"."""
        return format_timedelta(moment - now, granularity="minute", add_direction=True, locale=self._locale)

    def moment(self, moment: datetime) -> str:
        """The whole date, with its time."""
        return format_datetime(moment, "long", locale=self._locale)

    def _isolated(self, value: str) -> str:
        return ISOLATE.format(value) if self.direction == "rtl" else value


def _accepted(header: str) -> list[str]:
    """The languages of an Accept-Language header (RFC 9110 section 12.5.4), the most wanted first."""
    weighed = []
    for part in header[:LONGEST_HEADER].split(","):
        tag, _, parameter = part.strip().partition(";")
        weight = _weight(parameter.strip())
        if tag.strip() and weight > 0:
            weighed.append((weight, tag.strip()))
    return [tag for _, tag in sorted(weighed, key=lambda one: -one[0])]


def _weight(parameter: str) -> float:
    if not parameter:
        return 1.0
    try:
        return float(parameter.removeprefix("q="))
    except ValueError:
        return 0.0


def _flat(group: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, text in group.items():
        if isinstance(text, dict):
            yield from _flat(text, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", text
