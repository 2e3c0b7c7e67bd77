"""Where a list goes on: opaque to the caller, and good only for the tenant and the list that it was made for."""

from __future__ import annotations

import base64
import hmac

from api.errors import ApiError
from api.services import Services
from store.scope import Scope
from store.vault import Kind

SIGNATURE_BYTES = 16


async def to_cursor(made: Services, scope: Scope, of: str, position: str) -> str:
    """The cursor for what follows this position of the list `of`."""
    signature = await made.vault.sign(scope, Kind.CURSOR, of, position.encode())
    return base64.urlsafe_b64encode(signature[:SIGNATURE_BYTES] + position.encode()).rstrip(b"=").decode()


async def from_cursor(made: Services, scope: Scope, of: str, cursor: str | None) -> str | None:
    """The position that a cursor stands for.

    Raises:
        ApiError: 422 `invalid_cursor` where it is not one of this tenant's for this list.
    """
    if cursor is None:
        return None
    try:
        position = base64.urlsafe_b64decode(cursor.encode() + b"===")[SIGNATURE_BYTES:].decode()
    except ValueError:
        position = ""
    expected = await to_cursor(made, scope, of, position)
    if not hmac.compare_digest(expected.encode(), cursor.encode()):
        raise ApiError(422, "invalid_cursor", "the cursor is not one of this list: begin without one")
    return position
