"""What a provider's answer means, decided by the application's catalog entry, not by the HTTP status alone."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from everlink.contract import ReauthReason, Verdict
from providers.catalog import AnswerRule, OAuth2, Probe
from providers.credential import OAuthCredential
from providers.http import Answer

Rule = TypeVar("Rule", bound=AnswerRule)

STANDARD_FIELDS = ("access_token", "refresh_token", "token_type", "expires_in", "scope")
MAX_LIFETIME = 10 * 365 * 86400.0


@dataclass(frozen=True)
class TokenVerdict:
    """What an answer of a token endpoint means."""

    verdict: Verdict
    note: str  # static words
    reason: ReauthReason | None = None
    retry_after: float | None = None
    credential: OAuthCredential | None = None
    expires_in: float | None = None
    ends_in: float | None = None  # until the refresh token or the grant itself ends; None: not said


@dataclass(frozen=True)
class ProbeVerdict:
    """What an answer to a probe means."""

    verdict: Verdict
    note: str
    reason: ReauthReason | None = None
    retry_after: float | None = None
    identifier: str | None = None
    display_name: str | None = None


def judge_token_answer(answer: Answer, oauth2: OAuth2, previous: OAuthCredential | None) -> TokenVerdict:
    """Classify a token endpoint's answer (RFC 6749 sections 5.1 and 5.2).

    A success is 2xx and a non-empty access token; it is merged over `previous`, so that an omitted refresh
    token keeps the old one.
    """
    body = answer.json
    dead = _first_match(oauth2.dead, answer.status, body)
    if dead is not None:
        return TokenVerdict(Verdict.DEAD, "the provider refused the refresh token", dead.reason)
    if _first_match(oauth2.application_errors, answer.status, body) is not None:
        return TokenVerdict(Verdict.APPLICATION_ERROR, "the provider refused the application's own client")
    token = body.get("access_token") if body is not None else None
    if body is not None and 200 <= answer.status < 300 and isinstance(token, str) and token:
        return TokenVerdict(
            Verdict.OK,
            "the provider granted a token",
            credential=_merge(body, previous),
            expires_in=_lifetime(body.get("expires_in"), oauth2.access_token_seconds),
        )
    return TokenVerdict(Verdict.TRANSIENT, _transient_words(answer), retry_after=answer.retry_after())


def judge_probe_answer(answer: Answer, probe: Probe) -> ProbeVerdict:
    """Classify the answer to a probe. What the entry does not call dead says nothing about the credential."""
    body = answer.json
    dead = _first_match(probe.dead, answer.status, body)
    if dead is not None:
        return ProbeVerdict(Verdict.DEAD, "the provider refused the credential", dead.reason)
    if 200 <= answer.status < 300:
        return ProbeVerdict(
            Verdict.OK,
            "the provider accepted the credential",
            identifier=_text(body, probe.identifier),
            display_name=_text(body, probe.display_name),
        )
    return ProbeVerdict(Verdict.TRANSIENT, _transient_words(answer), retry_after=answer.retry_after())


def _first_match(rules: Iterable[Rule], status: int, body: dict[str, Any] | None) -> Rule | None:
    return next((rule for rule in rules if _matches(rule, status, body)), None)


def _matches(rule: AnswerRule, status: int, body: dict[str, Any] | None) -> bool:
    if rule.status is not None and rule.status != status:
        return False
    return rule.code is None or _value(body, rule.field) == rule.code


def _value(body: dict[str, Any] | None, path: str) -> Any:
    value: Any = body
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _text(body: dict[str, Any] | None, path: str | None) -> str | None:
    value = _value(body, path) if path is not None else None
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else None


def _merge(body: dict[str, Any], previous: OAuthCredential | None) -> OAuthCredential:
    refresh_token = body.get("refresh_token")
    if not isinstance(refresh_token, str) or not refresh_token:
        refresh_token = previous.refresh_token if previous else None
    extra = {name: value for name, value in body.items() if name not in STANDARD_FIELDS}
    scope = body.get("scope")
    return OAuthCredential(
        access_token=body["access_token"],
        refresh_token=refresh_token,
        token_type=str(body.get("token_type") or "Bearer"),
        scope=scope if isinstance(scope, str) else (previous.scope if previous else None),
        extra={**(previous.extra if previous else {}), **extra},
    )


def _lifetime(value: Any, default: float | None) -> float | None:
    """Seconds; providers send numbers, strings, nonsense or nothing."""
    try:
        seconds = float(value)
    except (TypeError, ValueError, OverflowError):
        return default
    if isinstance(value, bool) or not math.isfinite(seconds) or seconds <= 0:
        return default
    return min(seconds, MAX_LIFETIME)


def _transient_words(answer: Answer) -> str:
    return f"the provider answered HTTP {answer.status} without a verdict on the credential"
