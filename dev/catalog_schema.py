"""Writes providers/catalog.schema.json, by which an editor checks and completes catalog files: `make schema`.

What a value means is said once, in the comment beside it in the model; here the comments become descriptions.
"""

from __future__ import annotations

import inspect
import io
import json
import tokenize
from collections.abc import Iterator
from typing import Any

from dev.config import ROOT
from providers.entry import CatalogEntry
from providers.rules import Part

FILE = ROOT / "providers" / "catalog.schema.json"
TITLE = "An application of Everlink's catalog"


def schema() -> dict[str, Any]:
    """The JSON schema of a catalog file."""
    found = CatalogEntry.model_json_schema()
    described = {part.__name__: part for part in _parts(Part)}
    for name, about in {"CatalogEntry": found, **found["$defs"]}.items():
        for field, words in _comments(described[name]).items() if name in described else ():
            about["properties"][field].setdefault("description", words)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **found, "title": TITLE}


def text() -> str:
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def _parts(part: type[Part]) -> Iterator[type[Part]]:
    for one in part.__subclasses__():
        yield one
        yield from _parts(one)


def _comments(part: type[Part]) -> dict[str, str]:
    """The comment of each field: behind it on its line, or else in the lines above it."""
    found: dict[str, str] = {}
    for owner in reversed(part.__mro__):
        if issubclass(owner, Part):
            found |= {name: words for name, words in _comments_in(owner) if name in owner.model_fields}
    return found


def _comments_in(part: type[Part]) -> Iterator[tuple[str, str]]:
    source = inspect.cleandoc(inspect.getsource(part))
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    behind = {one.start[0]: one for one in tokens if one.type == tokenize.COMMENT}
    above: list[str] = []
    for number, line in enumerate(source.splitlines(), 1):
        comment = behind.get(number)
        if comment is not None and comment.line.strip().startswith("#"):
            above.append(_words(comment))
            continue
        name, colon, _ = line.strip().partition(":")
        if colon and name.isidentifier() and (comment is not None or above):
            yield name, _words(comment) if comment is not None else " ".join(above)
        above = []


def _words(comment: tokenize.TokenInfo) -> str:
    return comment.string.removeprefix("#").strip()


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
