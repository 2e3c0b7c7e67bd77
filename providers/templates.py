"""Texts of a catalog entry in which `{name}` stands for a value."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

PLACE = re.compile(r"\{([A-Za-z0-9_.-]+)\}")
HOST_PART = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?")
ADDRESS = re.compile(r"(https?://)?([^/?#]*)(.*)", re.DOTALL)


class CannotFill(Exception):
    """A value is missing, or cannot stand where it would have to."""


def names(template: str) -> frozenset[str]:
    """The values that a text needs."""
    return frozenset(PLACE.findall(template))


def host(url: str) -> str:
    """The host of an address that may have places in it, with its port."""
    found = ADDRESS.fullmatch(url)
    assert found is not None
    return found[2]


def fill(template: str, values: Mapping[str, str]) -> str:
    """The text with its values, once: what looks like a place in a value is text.

    Raises:
        CannotFill: a value is missing.
    """
    return PLACE.sub(lambda found: _value(values, found[1]), template)


def fill_url(template: str, values: Mapping[str, str]) -> str:
    """An address with its values. None of them leads to another host than the template says, or out of its place.

    An address that begins with a place (`{instance_url}/me`) goes where the provider's own answer said.

    Raises:
        CannotFill: a value is missing, or has characters that no host name has.
    """
    begin = PLACE.match(template)
    if begin is not None:
        return _value(values, begin[1]).rstrip("/") + _fill_path(template[begin.end() :], values)
    scheme, authority, rest = ADDRESS.fullmatch(template).groups()  # type: ignore[union-attr]  # it matches any text
    return f"{scheme or ''}{PLACE.sub(lambda found: _host_part(values, found[1]), authority)}{_fill_path(rest, values)}"


def texts(said: Any, prefix: str = "") -> dict[str, str]:
    """The values that stand in a JSON object, by their path: `{"team": {"id": 7}}` has `team.id`."""
    found: dict[str, str] = {}
    for name, value in said.items() if isinstance(said, dict) else ():
        if isinstance(value, dict):
            found |= texts(value, f"{prefix}{name}.")
        elif isinstance(value, str | int) and not isinstance(value, bool):
            found[prefix + name] = str(value)
    return found


def _fill_path(template: str, values: Mapping[str, str]) -> str:
    return PLACE.sub(lambda found: quote(_value(values, found[1]), safe=""), template)


def _host_part(values: Mapping[str, str], name: str) -> str:
    value = _value(values, name)
    if HOST_PART.fullmatch(value) is None:
        raise CannotFill(f"`{name}` cannot be part of a host name")
    return value


def _value(values: Mapping[str, str], name: str) -> str:
    value = values.get(name)
    if value is None:
        raise CannotFill(f"`{name}` is not known")
    return value
