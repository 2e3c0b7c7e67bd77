"""What a request that is the provider's says: a question, or the end of grants."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from everlink.contract import ProviderEventKind
from providers.events import CLAIMS, EVENT, Challenge, EventRule, Events
from providers.inbound.incoming import Incoming, Said
from providers.templates import fill

MAX_VALUES = 10_000  # of one key in one event; databases take so many in one question
MAX_TEXT = 255  # a longer value is nobody's key
MAX_ECHO = 4096  # characters of what is only sent back


@dataclass(frozen=True)
class Ended:
    """Grants that an event ends: those of the connections which have one of the values at each of these keys."""

    kind: ProviderEventKind
    match: dict[str, list[str]]


@dataclass(frozen=True)
class Announced:
    """What a request says of grants."""

    id: str  # the same for the same event; a hash
    ended: list[Ended] = field(repr=False)
    occurred_at: datetime | None  # None: it does not say


def asks(challenge: Challenge, said: Said) -> bool:
    """Whether a request is this question, and not an event."""
    return _holds(challenge.when, said) and all(said.text(path) is not None for path in challenge.paths())


def reply(challenge: Challenge, said: Said, secret: str) -> dict[str, str]:
    """What a challenge that was asked is answered."""
    values = {path: (said.text(path) or "")[:MAX_ECHO] for path in challenge.paths()}
    if challenge.proof is not None:
        proven = values[challenge.proof].encode(errors="replace")
        values["proof"] = hmac.new(secret.encode(), proven, hashlib.sha256).hexdigest()
    return {name: fill(text, values) for name, text in challenge.reply.items()}


def announced(events: Events, incoming: Incoming, said: Said) -> Announced | None:
    """What it says of grants; None: nothing."""
    ended = [one for part in _parts(said) for rule in events.rules if (one := _ended(rule, part)) is not None]
    if not ended:
        return None
    told = said.text(events.id) if events.id is not None else None
    # An empty id would be that of every event that has none.
    named = f"id {told}".encode(errors="replace") if told else b"body " + incoming.body + incoming.query.encode()
    at = events.occurred_at
    moment = said.moment(at.at, at.unit) if at is not None else None
    return Announced(hashlib.sha256(named).hexdigest(), ended, moment)


def _parts(said: Said) -> Iterator[Said]:
    """A security event token may tell several events, by their type; what is none is one."""
    claims: Any = said.places.get(CLAIMS)
    events = claims.get("events") if isinstance(claims, dict) else None
    if not isinstance(events, dict):
        yield said
        return
    for kind, event in events.items():
        yield Said({**said.places, EVENT: {**(event if isinstance(event, dict) else {}), "type": kind}})


def _ended(rule: EventRule, said: Said) -> Ended | None:
    if not _holds(rule.when, said):
        return None
    match = {name: _values(said, path) for name, path in rule.match.items()}
    return Ended(rule.kind, match) if all(match.values()) else None


def _values(said: Said, path: str) -> list[str]:
    found = [text for text in said.texts(path) if text and len(text) <= MAX_TEXT and "\0" not in text]
    return sorted(set(found))[:MAX_VALUES]


def _holds(when: Mapping[str, str], said: Said) -> bool:
    return all(wanted in said.texts(path) for path, wanted in when.items())
