"""Loaded by schemathesis before it runs."""

from __future__ import annotations

import re
from typing import Any
from uuid import uuid4

import schemathesis

HEADER = "Idempotency-Key"


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """A valid idempotency key is made unique: used again for another request it is refused, as it should be."""
    key = (case.headers or {}).get(HEADER)
    if isinstance(key, str) and re.fullmatch(r"[!-~]{1,255}", key):
        case.headers[HEADER] = uuid4().hex
