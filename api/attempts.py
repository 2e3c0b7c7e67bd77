"""What came of a link to a provider, for a script that waits: the store knows, whatever becomes of the window."""

from __future__ import annotations

from fastapi import Request

from api.errors import not_found
from api.services import Services
from api.trouble import Trouble
from api.waiting import first_of, hung_up
from api.wording import Words
from everlink import models
from everlink.contract import ConnectAttemptStatus
from store.scope import Scope
from store.tickets import Attempt


async def look(
    request: Request, made: Services, scope: Scope, account_id: str, attempt_id: str, wait: float
) -> models.ConnectAttempt:
    """How an attempt of this linked account stands: as soon as it has ended, or when the time is over.

    Raises:
        ApiError: 404; 503 where too many wait already.
    """
    attempt = await _find(made, scope, account_id, attempt_id)
    if wait and not _has_ended(made, attempt):
        with made.waiting_for_attempts.place(attempt_id, lambda seen: _has_ended(made, seen)) as reached:
            await first_of(reached.wait(), hung_up(request), timeout=wait)
        attempt = await _find(made, scope, account_id, attempt_id)
    entry = await made.entry(scope, attempt.slug)
    words = Words.of(attempt.locale, request.headers.get("accept-language"))
    status = _status(made, attempt)
    trouble = _trouble(attempt, status)
    name = entry.name if entry else attempt.slug
    return models.ConnectAttempt(
        id=attempt.id,
        application=attempt.slug,
        status=status,
        connection_id=attempt.connected_id,
        error_code=trouble,
        message=words(f"trouble.{trouble}", application=name) if trouble else None,
    )


async def _find(made: Services, scope: Scope, account_id: str, attempt_id: str) -> Attempt:
    attempt = await made.tickets.attempt(scope, account_id, attempt_id)
    if attempt is None:
        raise not_found("connect_attempt")
    return attempt


def _has_ended(made: Services, attempt: Attempt) -> bool:
    return _status(made, attempt) is not ConnectAttemptStatus.OPEN


def _status(made: Services, attempt: Attempt) -> ConnectAttemptStatus:
    if attempt.connected_id is not None:
        return ConnectAttemptStatus.CONNECTED
    if attempt.error_code is not None:
        return ConnectAttemptStatus.FAILED
    return ConnectAttemptStatus.EXPIRED if attempt.expires_at <= made.clock() else ConnectAttemptStatus.OPEN


def _trouble(attempt: Attempt, status: ConnectAttemptStatus) -> Trouble | None:
    if status is ConnectAttemptStatus.EXPIRED:
        return Trouble.LINK_EXPIRED
    return Trouble(attempt.error_code) if attempt.error_code is not None else None
