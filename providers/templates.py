"""Texts of a catalog entry in which `{name}` stands for a value."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import httpx

PLACE = re.compile(r"\{([A-Za-z0-9_.-]+)\}")
LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?"
HOST_PART = re.compile(rf"{LABEL}(\.{LABEL})*")
ADDRESS = re.compile(r"(https?://)?([^/?#]*)(.*)", re.DOTALL)
HEADER_VALUE = re.compile(r"([!-~]([ -~]*[!-~])?)?")  # RFC 9110 section 5.5, without what is obsolete


class CannotFill(Exception):
    """A value is missing, or cannot stand where it would have to; `name` says which, where one alone is at fault."""

    def __init__(self, message: str, name: str | None = None) -> None:
        super().__init__(message)
        self.name = name


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
        CannotFill: a value is missing, has characters that no host name has, or makes no address.
    """
    begin = PLACE.match(template)
    if begin is not None:
        url = _value(values, begin[1]).rstrip("/") + _fill_path(template[begin.end() :], values)
    else:
        scheme, authority, rest = ADDRESS.fullmatch(template).groups()  # type: ignore[union-attr]  # it matches any
        filled = PLACE.sub(lambda found: _host_part(values, found[1]), authority)
        url = f"{scheme or ''}{filled}{_fill_path(rest, values)}"
    try:
        if httpx.URL(url).host:
            return url
    except (httpx.InvalidURL, UnicodeError):
        pass
    raise CannotFill("a value makes no address", _only_name(template))


def fill_all(templates: Mapping[str, str], values: Mapping[str, str]) -> dict[str, str]:
    """Parameters, or the members of a body, with their values. Raises `CannotFill`."""
    return {name: fill(template, values) for name, template in templates.items()}


def fill_headers(templates: Mapping[str, str], values: Mapping[str, str]) -> dict[str, str]:
    """Headers with their values.

    Raises:
        CannotFill: a value is missing, or has characters that no header can carry.
    """
    filled = fill_all(templates, values)
    for header, value in filled.items():
        if HEADER_VALUE.fullmatch(value) is None:
            raise CannotFill("a value has characters that no header can carry", _only_name(templates[header]))
    return filled


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
        raise CannotFill(f"`{name}` cannot be part of a host name", name)
    return value


def _value(values: Mapping[str, str], name: str) -> str:
    value = values.get(name)
    if value is None:
        raise CannotFill(f"`{name}` is not known", name)
    return value


def _only_name(template: str) -> str | None:
    needed = names(template)
    return next(iter(needed)) if len(needed) == 1 else None
