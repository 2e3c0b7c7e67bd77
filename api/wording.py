"""What customers read, in their language: the texts of `api/texts/`, and no text stands anywhere else."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, Self

import yaml

TEXTS = Path(__file__).parent / "texts"
DEFAULT = "en"
NAMES = frozenset(path.name for path in TEXTS.glob("*.yaml"))


class Words:
    """The texts of one language: `words("trouble.access_denied", application="Slack")`."""

    def __init__(self, language: str) -> None:
        self.language = language
        self._texts = _texts(language)

    @classmethod
    def of(cls, locale: str | None, accept_language: str | None) -> Self:
        """The language that the product wants, or else that the browser asks for, of those that there are."""
        asked = [locale or "", *(part.partition(";")[0].strip() for part in (accept_language or "").split(","))]
        return cls(next((one for one in asked if (TEXTS / f"{one}.yaml").name in NAMES), DEFAULT))

    def __call__(self, key: str, **values: object) -> str:
        section, name = key.split(".")
        text: str = self._texts[section][name]
        return text.format(**values)


@cache
def _texts(language: str) -> dict[str, Any]:
    texts: dict[str, Any] = yaml.safe_load((TEXTS / f"{language}.yaml").read_text(encoding="utf-8"))
    return texts
