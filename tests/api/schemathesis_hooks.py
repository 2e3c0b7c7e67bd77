"""Loaded by schemathesis before it runs."""

from __future__ import annotations

import re
from typing import Any
from uuid import uuid4

import schemathesis

IDEMPOTENCY_KEY = "Idempotency-Key"
NO_HEADER_HOLDS = re.compile(r"[\x00-\x1f\x7f]")  # the server's parser refuses them, before there is a request


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """Headers as they can be sent; an idempotency key is used once, since for another request it is refused."""
    for name, value in (case.headers or {}).items():
        if isinstance(value, str) and NO_HEADER_HOLDS.search(value):
            case.headers[name] = NO_HEADER_HOLDS.sub("", value)
        if name == IDEMPOTENCY_KEY and isinstance(value, str) and re.fullmatch(r"[!-~]{1,255}", value):
            case.headers[name] = uuid4().hex
