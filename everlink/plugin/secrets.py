"""What was handed to an activity, and whether it stands in what leaves the activity."""

from __future__ import annotations

import json
import traceback
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, quote_plus

from temporalio.api.common.v1 import Payload
from temporalio.api.failure.v1 import Failure
from temporalio.converter import DefaultFailureConverter, PayloadConverter

from everlink.models import Token

SHORTEST = 8  # characters: shorter ones would be found by chance
SECRET_NAMES = ("token", "secret")  # how the names end of what is secret in the rest of a token's answer


class Secrets:
    def __init__(self) -> None:
        self._forms: set[bytes] = set()

    def add(self, token: Token) -> None:
        for secret in _secrets_of(token):
            if len(secret) >= SHORTEST:
                self._forms |= _forms(secret)

    def are_in_values(self, values: tuple[Any, ...], converter: PayloadConverter) -> bool:
        """Whether one would stand in the history with these, before any codec."""
        if any(isinstance(value, Token) for value in values):
            return True
        return bool(self._forms) and any(self._stands_in(payload) for payload in converter.to_payloads(values))

    def are_in_error(self, error: BaseException, converter: PayloadConverter) -> bool:
        """The same of what a failure says of an error, or a log: its words, details and causes."""
        if not self._forms:
            return False
        failure = Failure()
        DefaultFailureConverter().to_failure(error, converter, failure)
        text = "".join(traceback.format_exception(error))
        return self._are_in(failure.SerializeToString()) or self._are_in(text.encode(errors="replace"))

    def _stands_in(self, payload: Payload) -> bool:
        return self._are_in(payload.data) or any(self._are_in(value) for value in payload.metadata.values())

    def _are_in(self, data: bytes) -> bool:
        return any(form in data for form in self._forms)


def _secrets_of(token: Token) -> Iterator[str]:
    if token.access_token is not None:
        yield token.access_token
    for name in token.secret_fields:
        yield (token.fields or {}).get(name, "")
    for value in token.headers.values():
        scheme, _, credentials = value.partition(" ")
        if scheme == "Basic":
            yield credentials
    yield from _named_secret(token.extra)


def _named_secret(said: Any, name: str = "") -> Iterator[str]:
    """Texts whose name says that they are secret, however deep they stand."""
    if isinstance(said, dict):
        for inner, value in said.items():
            yield from _named_secret(value, inner)
    elif isinstance(said, list):
        for value in said:
            yield from _named_secret(value, name)
    elif isinstance(said, str) and name.endswith(SECRET_NAMES):
        yield said


def _forms(secret: str) -> set[bytes]:
    """As it stands in a text, in JSON, in Python's quotes, in an address."""
    inside = (json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1], repr(secret)[1:-1])
    return {one.encode() for one in (secret, *inside, quote(secret, safe=""), quote_plus(secret), quote(secret))}
