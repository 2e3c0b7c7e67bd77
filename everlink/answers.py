"""How a rule recognizes an answer of a provider. The service reads its catalog by it, the plugin what it is told."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, Field

Body = dict[str, Any] | None

NO_STATEMENT = frozenset({408, 425, 429})  # 4xx that speak of the moment, not of the request


class Rule(Protocol):
    """An answer, recognized by what is given here; all that is given must match.

    Paths go deeper with dots; where a list stands on the way, one of its items must match. A rule without
    `status` is not looked for in an answer that is no statement about the request: a redirect, "too many
    requests", "too early", a timeout or a server's fault.
    """

    @property
    def status(self) -> int | None: ...

    @property
    def field(self) -> str: ...

    @property
    def code(self) -> str | None: ...

    @property
    def contains(self) -> str | None: ...

    @property
    def contains_in(self) -> str: ...


class Refusal(BaseModel):
    """An answer by which a provider refuses a credential; all that is given must match."""

    model_config = ConfigDict(frozen=True, from_attributes=True)

    status: int | None = Field(default=None, examples=[401], description="Of HTTP")
    field: str = Field(default="error", description="Where the code stands in the JSON body; dots go deeper")
    code: str | None = Field(default=None, examples=["token_revoked"], description="What stands there")
    contains: str | None = Field(default=None, description="A part of another field's text, in any case")
    contains_in: str = Field(default="error_description", description="Where that text stands")


AnyRule = TypeVar("AnyRule", bound=Rule)


def first_match(rules: Iterable[AnyRule], status: int, body: Body) -> AnyRule | None:
    """The first rule that an answer is recognized by."""
    return next((rule for rule in rules if matches(rule, status, body)), None)


def matches(rule: Rule, status: int, body: Body) -> bool:
    """Whether an answer is the one that the rule speaks of."""
    if not _may_match(rule, status):
        return False
    if rule.code is not None and not any(code_text(value) == rule.code for value in _items(body, rule.field)):
        return False
    if rule.contains is None:
        return True
    part = rule.contains.casefold()
    return any(isinstance(value, str) and part in value.casefold() for value in _items(body, rule.contains_in))


def needs_body(rules: Iterable[Rule], status: int) -> bool:
    """Whether it takes the body of an answer of this status to tell whether one of the rules matches."""
    candidates = [rule for rule in rules if _may_match(rule, status)]
    return bool(candidates) and all(rule.code is not None or rule.contains is not None for rule in candidates)


def code_text(value: Any) -> Any:
    """A code as text, so that 190 and "190" are one; a truth value is a word, and never a number."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int) else value


def values_at(body: Any, path: str) -> Iterator[Any]:
    """What stands at a path; a list on the way stands for each of its items."""
    if not path:
        yield body
    elif isinstance(body, list):
        for item in body:
            yield from values_at(item, path)
    elif isinstance(body, dict):
        name, _, rest = path.partition(".")
        if name in body:
            yield from values_at(body[name], rest)


def texts_at(said: Any, path: str) -> list[str]:
    """The texts and numbers that stand at a path."""
    found = _items(said, path)
    return [str(value) for value in found if isinstance(value, str | int) and not isinstance(value, bool)]


def _items(body: Any, path: str) -> Iterator[Any]:
    """What stands at a path, each item of it where it is a list."""
    for value in values_at(body, path):
        yield from value if isinstance(value, list) else [value]


def _may_match(rule: Rule, status: int) -> bool:
    return status == rule.status if rule.status is not None else _is_statement(status)


def _is_statement(status: int) -> bool:
    """Whether an answer of this status says anything about the request that was sent."""
    return 200 <= status < 300 or (400 <= status < 500 and status not in NO_STATEMENT)
