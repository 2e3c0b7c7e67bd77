"""What an answer means: every odd answer of a token endpoint or a probe has its line."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from everlink.contract import ReauthReason, Verdict
from providers.credential import OAuthCredential, to_bytes
from providers.entry import CatalogEntry, OAuth2, Probe
from providers.http import Answer
from providers.rules import DeadRule
from providers.verdict import judge_probe_answer, judge_token_answer

OAUTH2 = OAuth2(authorize_url="https://a.example/", token_url="https://a.example/token")
BEFORE = OAuthCredential(
    access_token="old", refresh_token="old-refresh", scope="read", extra={"instance_url": "https://i.example"}
)


def answer(status: int, body: Any, **headers: str | bytes) -> Answer:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    raw = [
        (name.replace("_", "-").encode(), value if isinstance(value, bytes) else value.encode())
        for name, value in headers.items()
    ]
    return Answer(status, httpx.Headers(raw), text)


@pytest.mark.parametrize(
    ("status", "body", "verdict"),
    [
        (200, {"access_token": "new"}, Verdict.OK),
        (201, {"access_token": "new"}, Verdict.OK),
        (200, {"error": "invalid_grant"}, Verdict.DEAD),
        (400, {"error": "invalid_grant"}, Verdict.DEAD),
        (400, {"error": "invalid_grant", "access_token": "new"}, Verdict.DEAD),
        (401, {"error": "invalid_client"}, Verdict.APPLICATION_ERROR),
        (400, {"error": "unauthorized_client"}, Verdict.APPLICATION_ERROR),
        (200, {"error": "temporarily_unavailable"}, Verdict.TRANSIENT),
        (200, {"ok": False}, Verdict.TRANSIENT),
        (200, {"access_token": ""}, Verdict.TRANSIENT),
        (200, {"access_token": None}, Verdict.TRANSIENT),
        (200, {"access_token": 7}, Verdict.TRANSIENT),
        (200, {"access_token": {"value": "new"}}, Verdict.TRANSIENT),
        (200, [{"access_token": "new"}], Verdict.TRANSIENT),
        (200, b"<html>log in</html>", Verdict.TRANSIENT),
        (200, b'{"access_token": "ne', Verdict.TRANSIENT),
        (200, b"\xff\xfe\x00", Verdict.TRANSIENT),
        (200, b"[" * 100_000, Verdict.TRANSIENT),
        (200, b"", Verdict.TRANSIENT),
        (200, b"null", Verdict.TRANSIENT),
        (200, b'{"access_token": "new", "deep": ' + b"[" * 500 + b"]" * 500 + b"}", Verdict.TRANSIENT),
        (200, b'{"access_token": "new", "wide": ' + b"9" * 5000 + b"}", Verdict.TRANSIENT),
        (204, b"", Verdict.TRANSIENT),
        (302, b"", Verdict.TRANSIENT),
        (307, {"access_token": "new"}, Verdict.TRANSIENT),
        (400, b"", Verdict.TRANSIENT),
        (400, {"message": "no"}, Verdict.TRANSIENT),
        (400, {"error": {"code": "invalid_grant"}}, Verdict.TRANSIENT),
        (401, {}, Verdict.TRANSIENT),
        (403, {}, Verdict.TRANSIENT),
        (429, {}, Verdict.TRANSIENT),
        (500, {"error": "server_error"}, Verdict.TRANSIENT),
        (503, b"<html>down</html>", Verdict.TRANSIENT),
    ],
    ids=lambda value: str(value)[:40],
)
def test_token_answer(status: int, body: Any, verdict: Verdict) -> None:
    judged = judge_token_answer(answer(status, body), OAUTH2, BEFORE)
    assert judged.verdict is verdict
    assert (judged.credential is not None) is (verdict is Verdict.OK)
    assert judged.reason is (ReauthReason.ACCESS_REVOKED if verdict is Verdict.DEAD else None)
    assert "new" not in judged.note


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (3600, 3600.0),
        ("3600", 3600.0),
        (59.5, 59.5),
        (0, None),
        (-5, None),
        ("soon", None),
        (None, None),
        (True, None),
        ([], None),
        (1e99, 315360000.0),
        (10**400, None),
        ("1e999", None),
        ("9" * 5000, None),
        ({"seconds": 60}, None),
        (False, None),
        ("", None),
        ("inf", None),
        ("nan", None),
        ("2026-01-01T00:00:00Z", None),
    ],
    ids=lambda value: str(value)[:20],
)
def test_lifetime_is_seconds_or_the_entry_default(value: Any, expected: float | None) -> None:
    body = {"access_token": "new", "expires_in": value}
    assert judge_token_answer(answer(200, body), OAUTH2, None).expires_in == expected
    defaulted = OAUTH2.model_copy(update={"access_token_seconds": 7200.0})
    assert judge_token_answer(answer(200, body), defaulted, None).expires_in == (expected or 7200.0)


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"refresh_token": ""},
        {"refresh_token": None},
        {"refresh_token": 5},
        {"refresh_token": "old-refresh"},
        {"scope": None},
        {"scope": 5},
        {"expires_in": 60},
    ],
    ids=str,
)
def test_shorter_answer_takes_nothing_away(more: dict[str, Any]) -> None:
    judged = judge_token_answer(answer(200, {"access_token": "new", **more}), OAUTH2, BEFORE)
    assert judged.credential == BEFORE.model_copy(update={"access_token": "new"})


@pytest.mark.parametrize(
    ("said", "missing"),
    [
        ({}, []),
        ({"scope": None}, []),
        ({"scope": "read write"}, []),
        ({"scope": "write,read"}, []),
        ({"scope": "write, read"}, []),
        ({"scope": ["write", "read", 5]}, []),
        ({"scope": "read"}, ["write"]),
        ({"scope": "read writer"}, ["write"]),
        ({"scope": ["READ"]}, ["read", "write"]),
        ({"scope": ""}, ["read", "write"]),
        ({"scope": []}, ["read", "write"]),
    ],
    ids=str,
)
def test_scopes_that_were_asked_for_and_not_granted_are_known(said: dict[str, Any], missing: list[str]) -> None:
    judged = judge_token_answer(answer(200, {"access_token": "new", **said}), OAUTH2, None)
    assert judged.credential is not None
    assert judged.credential.lacks(["read", "write"]) == missing


def test_fuller_answer_replaces_and_adds() -> None:
    body = {"access_token": "new", "refresh_token": "r2", "scope": "write", "team": {"id": "T1"}}
    judged = judge_token_answer(answer(200, body), OAUTH2, BEFORE)
    assert judged.credential is not None
    assert (judged.credential.refresh_token, judged.credential.scope) == ("r2", "write")
    assert judged.credential.extra == {"instance_url": "https://i.example", "team": {"id": "T1"}}
    assert "new" not in repr(judged.credential) and "r2" not in repr(judged.credential)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        (" 7 ", 7.0),
        ("0", 0.0),
        ("99999999999999", 999999999.0),
        ("9" * 5000, 999999999.0),
        ("", None),
        ("soon", None),
        ("-1", None),
        ("1.5", None),
        (b"\xb2", None),  # a digit to Python, and no number
        (b"\xff\xfe", None),
        ("Mon, 1 Jan 2024 00:00:00 +99999999999999999999", None),
        ("Mon, 99999999999999999999 Jan 2024 00:00:00 GMT", None),
        ("Mon, 1 Jan 99999 00:00:00 GMT", None),
    ],
    ids=lambda value: ascii(value)[:30],
)
def test_retry_after_in_seconds(header: str | bytes, seconds: float | None) -> None:
    judged = judge_token_answer(answer(429, {}, retry_after=header), OAUTH2, None)
    assert (judged.verdict, judged.retry_after) == (Verdict.TRANSIENT, seconds)


def test_retry_after_as_a_date_ahead() -> None:
    now = datetime(2015, 10, 21, 7, 27, 0, tzinfo=UTC)
    for date in ("Wed, 21 Oct 2015 07:28:00 GMT", "Wed, 21 Oct 2015 07:28:00", "Wed, 21 Oct 2015 09:28:00 +0200"):
        assert answer(503, {}, retry_after=date).retry_after(now) == 60.0


def test_retry_after_as_a_date_that_has_passed() -> None:
    judged = judge_token_answer(answer(503, {}, retry_after="Wed, 21 Oct 2015 07:28:00 GMT"), OAUTH2, None)
    assert judged.retry_after == 0.0


def test_reason_is_the_rule_of_the_entry() -> None:
    rules = (DeadRule(status=400, field="status.code", code="UNINSTALLED", reason=ReauthReason.APP_UNINSTALLED),)
    oauth2 = OAUTH2.model_copy(update={"dead": rules})
    judged = judge_token_answer(answer(400, {"status": {"code": "UNINSTALLED"}}), oauth2, None)
    assert (judged.verdict, judged.reason) == (Verdict.DEAD, ReauthReason.APP_UNINSTALLED)
    assert (
        judge_token_answer(answer(401, {"status": {"code": "UNINSTALLED"}}), oauth2, None).verdict is Verdict.TRANSIENT
    )


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (200, Verdict.OK),
        (204, Verdict.OK),
        (302, Verdict.TRANSIENT),
        (401, Verdict.DEAD),
        (403, Verdict.TRANSIENT),
        (404, Verdict.TRANSIENT),
        (429, Verdict.TRANSIENT),
        (500, Verdict.TRANSIENT),
    ],
)
def test_probe_answer(status: int, verdict: Verdict) -> None:
    probe = Probe(url="https://a.example/me")
    judged = judge_probe_answer(answer(status, {"user": {"id": 42}, "name": "Ada"}, retry_after="7"), probe)
    assert judged.verdict is verdict
    assert judged.retry_after == (7.0 if verdict is Verdict.TRANSIENT else None)
    assert judged.reason is (ReauthReason.CREDENTIALS_INVALID if verdict is Verdict.DEAD else None)
    if verdict is Verdict.OK:
        assert judged.said == {"user": {"id": 42}, "name": "Ada"}


@pytest.mark.parametrize("half", [b"\\ud83d", b"\xed\xa0\xbd"], ids=["escaped", "raw"])
def test_half_a_character_in_a_name_loses_no_grant(half: bytes) -> None:
    body = b'{"access_token": "new", "refresh_token": "r2", "team": {"id": "T1", "name": "Acme ' + half + b'"}}'
    judged = judge_token_answer(answer(200, body), OAUTH2, None)
    assert judged.credential is not None
    kept = OAuthCredential.model_validate_json(to_bytes(judged.credential))
    assert (kept.refresh_token, kept.extra["team"]["id"]) == ("r2", "T1")


def test_refusal_speaks_of_the_fields_that_its_rule_names() -> None:
    about = {"slug": "own", "name": "Own", "description": "", "auth_type": "keybased"}
    fields = [{"name": name, "label": name} for name in ("key", "secret")]
    dead: list[dict[str, Any]] = [{"code": "bad_secret", "fields": ["secret"]}, {"status": 401}]
    given = {**about, "fields": fields, "probe": {"url": "https://a.example/", "dead": dead}}
    entry = CatalogEntry.model_validate(given)
    assert entry.probe is not None
    for body, named in ((b'{"error": "bad_secret"}', ("secret",)), (b"{}", ())):
        assert judge_probe_answer(Answer(401, httpx.Headers(), body), entry.probe).fields == named
    dead[0]["fields"] = ["other"]
    with pytest.raises(ValueError, match="a field that there is not"):
        CatalogEntry.model_validate(given)


def test_customers_own_client_that_is_refused_is_a_dead_credential() -> None:
    oauth2 = OAuth2(grant="client_credentials", token_url="https://a.example/token")
    judged = judge_token_answer(Answer(401, httpx.Headers(), b'{"error": "invalid_client"}'), oauth2, None)
    assert (judged.verdict, judged.reason) == (Verdict.DEAD, ReauthReason.CREDENTIALS_INVALID)
