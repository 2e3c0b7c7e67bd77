"""Where a customer goes when all is done: addresses that the organization has named, letter by letter.

An address that anybody could choose would make our page a way to send customers anywhere. So what `settings` holds is
of a shape that no browser reads differently than we do, and a request names one of them exactly.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Annotated
from urllib.parse import urlencode

from pydantic import AfterValidator, Field

from api.cors import ORIGIN
from api.errors import ApiError

MAX_LENGTH = 2000
# RFC 3986: a path and a query of what may stand there; no user, no fragment, no backslash, nothing that is trimmed.
LETTERS = r"[A-Za-z0-9._~!$&'()*+,;=:@%/-]"
NO_DEFAULT_PORT = r"(?!https://[^/?]*:443(?:[/?]|$))(?!http://[^/?]*:80(?:[/?]|$))"  # which browsers leave out
RETURN_URL = re.compile(rf"{NO_DEFAULT_PORT}(?:{ORIGIN.pattern})(?:/{LETTERS}*)?(?:\?(?:{LETTERS}|\?)*)?")


def exact_url(text: str) -> str:
    """The text, if it is an address to which a customer may be sent.

    Raises:
        ValueError: it is something else.
    """
    if RETURN_URL.fullmatch(text) is None:
        raise ValueError("a return URL is https://host[:port]/path, or http for this machine, without user or fragment")
    return text


ReturnUrl = Annotated[
    str,
    Field(max_length=MAX_LENGTH, json_schema_extra={"pattern": f"^(?:{RETURN_URL.pattern})$"}),
    AfterValidator(exact_url),
]


def allowed(return_url: str | None, named: Collection[str]) -> str | None:
    """The address, if the organization has named it.

    Raises:
        ApiError: 422 `return_url_not_allowed`.
    """
    if return_url is not None and return_url not in named:
        raise ApiError(422, "return_url_not_allowed", "this return URL is not one of the settings' `return_urls`")
    return return_url


def with_outcome(return_url: str, slug: str, connection_id: str) -> str:
    """The address, which is told what came of it."""
    outcome = urlencode({"status": "connected", "application": slug, "connection_id": connection_id})
    return f"{return_url}{'&' if '?' in return_url else '?'}{outcome}"
