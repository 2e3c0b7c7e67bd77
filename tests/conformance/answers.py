"""Answers that a rule or a path of a catalog entry describes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from providers.rules import AnswerRule
from providers.templates import PLACE


def put(body: dict[str, Any], path: str, value: Any) -> None:
    """Write a value where a path says it stands."""
    *way, last = path.split(".")
    for name in way:
        body = body.setdefault(name, {})
        assert isinstance(body, dict), f"{path} leads through a value"
    assert body.setdefault(last, value) == value, f"two values stand at {path}"


def matching(rule: AnswerRule) -> dict[str, Any]:
    """The least that a rule recognizes."""
    body: dict[str, Any] = {}
    if rule.code is not None:
        put(body, rule.field, plain(rule.code))
    if rule.contains is not None:
        put(body, rule.contains_in, f"Sorry: {rule.contains.upper()}!")
    return body


def mark(body: dict[str, Any], success: AnswerRule) -> None:
    """Add what a success must show, where it does not do so by itself."""
    if success.code is not None:
        put(body, success.field, plain(success.code))
    part = success.contains
    if part is not None and part.casefold() not in texts(body).get(success.contains_in, "").casefold():
        put(body, success.contains_in, part)


def refusal(rule: AnswerRule, success: AnswerRule | None) -> tuple[int, dict[str, Any]]:
    """Status and body of a refusal. Where a success has a mark, a refusal comes as a success that lacks it."""
    body = matching(rule)
    if success is not None and success.code in ("true", "false") and success.field != rule.field:
        put(body, success.field, success.code == "false")
    return rule.status or (200 if success is not None else 400), body


def filled(template: str, values: Mapping[str, str]) -> str:
    """A text of an entry with its values; none of ours needs to be quoted."""
    return PLACE.sub(lambda found: values[found[1]], template)


def texts(said: Any, prefix: str = "") -> dict[str, str]:
    """The values of an answer by their path."""
    found: dict[str, str] = {}
    for name, value in said.items():
        found |= texts(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: str(value)}
    return found


def plain(code: str) -> Any:
    """A code as a provider writes it."""
    if code in ("true", "false"):
        return code == "true"
    return int(code) if re.fullmatch(r"[1-9]\d*", code) else code
