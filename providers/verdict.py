"""What a provider's answer means, decided by the application's catalog entry, not by the HTTP status alone."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from everlink.answers import Body, first_match, matches, values_at
from everlink.contract import ReauthReason, Verdict
from providers.credential import OAuthCredential, bounded
from providers.entry import OAuth2, Probe
from providers.http import Answer
from providers.rules import AnswerRule, TokenAnswer

MAX_LIFETIME = 10 * 365 * 86400.0
EPOCH = re.compile(r"\d+(\.\d+)?", re.ASCII)  # seconds, with a fraction or not


@dataclass(frozen=True)
class TokenVerdict:
    """What an answer of a token endpoint means."""

    verdict: Verdict
    note: str  # static words
    reason: ReauthReason | None = None
    fields: tuple[str, ...] = ()  # the customer's, of which a refusal speaks, where the entry can tell
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
    fields: tuple[str, ...] = ()  # the customer's, of which a refusal speaks, where the entry can tell
    retry_after: float | None = None
    said: Body = field(default=None, repr=False)  # the answer, where it was a success


def judge_token_answer(
    answer: Answer, oauth2: OAuth2, previous: OAuthCredential | None, now: datetime | None = None
) -> TokenVerdict:
    """Classify a token endpoint's answer (RFC 6749 sections 5.1 and 5.2) by the entry's rules.

    A success is 2xx with a non-empty access token, and whatever else the entry demands of one. It is merged
    over `previous`: what the answer omits, above all the refresh token, is kept. Everything that no rule names
    says nothing of the grant. So does a server's fault whose body says `invalid_grant`, unless a rule names
    that status: a gateway or a failing server may well echo what it cannot know, and a grant that really is
    gone is refused again once the server works.
    """
    body = answer.json
    if first_match(oauth2.transient, answer.status, body) is not None:
        return TokenVerdict(Verdict.TRANSIENT, _transient_words(answer), retry_after=answer.retry_after(now))
    dead = first_match(oauth2.dead, answer.status, body)
    if dead is not None:
        what = "the customer's own client" if oauth2.asks_with_customers_client else "the refresh token"
        return TokenVerdict(Verdict.DEAD, f"the provider refused {what}", dead.reason, dead.fields)
    if refuses_client(answer, oauth2):
        return _client_refused(oauth2)
    credential = _merge(body, oauth2.answer, previous) if is_success(oauth2.answer.success, answer) else None
    if body is None or credential is None:
        return TokenVerdict(Verdict.TRANSIENT, _transient_words(answer), retry_after=answer.retry_after(now))
    return TokenVerdict(
        Verdict.OK,
        "the provider granted a token",
        credential=credential,
        expires_in=_expires_in(body, oauth2, now or datetime.now(UTC)),
        ends_in=_seconds(_value(body, oauth2.answer.refresh_expires_in)),
    )


def refuses_client(answer: Answer, oauth2: OAuth2) -> bool:
    """Whether the provider refused the client, and so did nothing (RFC 6749 section 5.2)."""
    return first_match(oauth2.application_errors, answer.status, answer.json) is not None


def _client_refused(oauth2: OAuth2) -> TokenVerdict:
    if oauth2.asks_with_customers_client:
        words = "the provider refused the customer's own client"
        return TokenVerdict(Verdict.DEAD, words, ReauthReason.CREDENTIALS_INVALID)
    return TokenVerdict(Verdict.APPLICATION_ERROR, "the provider refused the application's own client")


def judge_probe_answer(answer: Answer, probe: Probe) -> ProbeVerdict:
    """Classify the answer to a probe. What the entry does not call dead says nothing about the credential."""
    body = answer.json
    dead = first_match(probe.dead, answer.status, body)
    if dead is not None:
        return ProbeVerdict(Verdict.DEAD, "the provider refused the credential", dead.reason, dead.fields)
    if is_success(probe.success, answer):
        return ProbeVerdict(Verdict.OK, "the provider accepted the credential", said=body)
    return ProbeVerdict(Verdict.TRANSIENT, _transient_words(answer), retry_after=answer.retry_after())


def judge_introspection(answer: Answer, oauth2: OAuth2) -> ProbeVerdict:
    """Classify the answer to an introspection (RFC 7662 section 2.2). Dead is what is not active."""
    active = answer.json.get("active") if answer.json is not None and 200 <= answer.status < 300 else None
    if active is True:
        return ProbeVerdict(Verdict.OK, "the provider accepted the credential")
    if active is False:
        return ProbeVerdict(Verdict.DEAD, "the provider says that the token is not active", ReauthReason.ACCESS_REVOKED)
    if refuses_client(answer, oauth2):
        return ProbeVerdict(Verdict.APPLICATION_ERROR, "the provider refused the client that asked about the token")
    return ProbeVerdict(Verdict.TRANSIENT, _transient_words(answer), retry_after=answer.retry_after())


def is_success(demand: AnswerRule | None, answer: Answer) -> bool:
    """Whether an answer is 2xx, and shows what the entry demands of one."""
    return 200 <= answer.status < 300 and (demand is None or matches(demand, answer.status, answer.json))


def _value(body: Body, path: str | None) -> Any:
    """The first thing that stands at a path."""
    return next(values_at(body, path), None) if path is not None else None


def _word(body: Body, path: str | None) -> str | None:
    """A text that is not empty."""
    value = _value(body, path)
    return value if isinstance(value, str) and value else None


def _merge(body: Body, places: TokenAnswer, previous: OAuthCredential | None) -> OAuthCredential | None:
    """The credential that an answer grants, over the one that was there; None where it grants none."""
    access_token = _word(body, places.access_token)
    if body is None or access_token is None:
        return None
    named = {path.partition(".")[0] for path in places.paths() if "." not in path}
    extra = {name: value for name, value in body.items() if name not in named}
    return OAuthCredential(
        access_token=access_token,
        refresh_token=_word(body, places.refresh_token) or (previous.refresh_token if previous else None),
        token_type=_word(body, places.token_type) or "Bearer",
        scope=_scope(body, places.scope, previous),
        extra=bounded({**(previous.extra if previous else {}), **extra}),
        given=previous.given if previous else {},
        origin=previous.origin if previous else None,
    )


def _scope(body: Body, path: str, previous: OAuthCredential | None) -> str | None:
    """The scopes that were granted, which some write as a list.

    An answer to consent that names none says so; a refresh that does takes none away.
    """
    said = _value(body, path)
    if isinstance(said, list):
        said = " ".join(one for one in said if isinstance(one, str))
    if isinstance(said, str) and (said or previous is None):
        return said
    return previous.scope if previous else None


def _expires_in(body: Body, oauth2: OAuth2, now: datetime) -> float | None:
    """Seconds that the access token lives: as said, or until the date said, or what the entry knows."""
    said = _seconds(_value(body, oauth2.answer.expires_in))
    if said is None:
        moment = _moment(_value(body, oauth2.answer.expires_at))
        said = _seconds((moment - now).total_seconds()) if moment is not None else None
    return said if said is not None else oauth2.access_token_seconds


def _seconds(value: Any) -> float | None:
    """A lifetime; providers send numbers, strings, nonsense or nothing."""
    try:
        seconds = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    if isinstance(value, bool) or not math.isfinite(seconds) or seconds <= 0:
        return None
    return min(seconds, MAX_LIFETIME)


def _moment(value: Any) -> datetime | None:
    """An ISO 8601 date (UTC where it names no zone) or epoch seconds, as a number or a text."""
    if isinstance(value, bool):
        return None
    try:
        if isinstance(value, int | float) or (isinstance(value, str) and EPOCH.fullmatch(value)):
            return datetime.fromtimestamp(float(value), UTC)
        moment = datetime.fromisoformat(value)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        return None


def _transient_words(answer: Answer) -> str:
    return f"the provider answered HTTP {answer.status} without a verdict on the credential"
