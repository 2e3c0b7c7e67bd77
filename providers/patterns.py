"""Regular expressions that a catalog entry brings: whoever wrote one, no value makes it run for long.

They are matched by the engine that pydantic brings, which never goes back in a text: its time grows with the text
alone, and what would need more than a bounded memory it refuses. It knows no look-around and no back-references.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated

from pydantic import StringConstraints, TypeAdapter, ValidationError
from pydantic_core import SchemaError

MAX_PATTERN = 500
MAX_TEXT = 1000  # a longer text matches nothing


def check(pattern: str) -> str:
    """The pattern, if it is one.

    Raises:
        ValueError: it is none, or needs what only a slow engine has.
    """
    try:
        _compiled(pattern)
        _compiled(_whole(pattern))
    except SchemaError:
        raise ValueError("not a regular expression without look-around and back-references, or too large") from None
    return pattern


def matches(pattern: str, text: str) -> bool:
    """Whether all of a text is as the pattern has it."""
    try:
        _compiled(_whole(pattern)).validate_python(text)
    except ValidationError:
        return False
    return True


def _whole(pattern: str) -> str:
    return rf"\A(?:{pattern})\z"


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> TypeAdapter[str]:
    return TypeAdapter(Annotated[str, StringConstraints(pattern=pattern, max_length=MAX_TEXT)])
