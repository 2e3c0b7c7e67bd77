"""Answers of providers that do not speak as the standards say; each line with its source."""

from __future__ import annotations

from typing import Any

import pytest

from everlink.contract import ReauthReason, Verdict
from providers.credential import KeyCredential, OAuthCredential
from providers.identity import identify
from providers.verdict import judge_probe_answer, judge_token_answer
from tests.providers.answers import answer, entry_of

BEFORE = OAuthCredential(access_token="access-1", refresh_token="refresh-1")
OK, DEAD, TRANSIENT, APPLICATION = Verdict.OK, Verdict.DEAD, Verdict.TRANSIENT, Verdict.APPLICATION_ERROR
REVOKED, EXPIRED = ReauthReason.ACCESS_REVOKED, ReauthReason.REFRESH_TOKEN_EXPIRED
INVALID, UNINSTALLED = ReauthReason.CREDENTIALS_INVALID, ReauthReason.APP_UNINSTALLED
DELETED = ReauthReason.APPLICATION_DELETED

FACEBOOK = "https://developers.facebook.com/docs/graph-api/guides/error-handling"
FACEBOOK_DELETED = "https://github.com/mobolic/facebook-sdk/blob/master/test/test_access_tokens.py"
FACEBOOK_CLIENT = "https://stackoverflow.com/questions/14575477/facebook-exchange-code-for-token"
TWITCH = "https://dev.twitch.tv/docs/authentication/refresh-tokens/"
TWITCH_CLIENT = "https://github.com/nicklaw5/helix/blob/main/authentication_test.go"
STRAVA = "https://github.com/dreeveapp/dreeve/issues/1449"
STRAVA_CLIENT = "https://github.com/dreeveapp/dreeve/issues/372"
CLICKUP = "https://developer.clickup.com/docs/common_errors"
FIGMA = "https://cran.r-project.org/web/packages/figma/vignettes/http-errors.html"
FIGMA_SCOPE = "https://github.com/figma/code-connect/issues/303"
MONDAY = "https://developer.monday.com/api-reference/reference/me"
TWILIO = "https://www.twilio.com/docs/api/errors/20003"
TWILIO_KEY = "https://www.twilio.com/docs/api/errors/70051"


def facebook(code: int, message: str, **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": "OAuthException", "code": code, **more}}


def strava(resource: str, field: str) -> dict[str, Any]:
    return {"message": "Bad Request", "errors": [{"resource": resource, "field": field, "code": "invalid"}]}


@pytest.mark.parametrize(
    ("slug", "status", "body", "verdict", "reason", "source"),
    [
        ("facebook", 400, facebook(1, "Error validating client secret."), APPLICATION, None, FACEBOOK_CLIENT),
        ("facebook", 400, facebook(1, "An unknown error occurred"), TRANSIENT, None, FACEBOOK),
        ("twitch", 400, {"status": 400, "message": "Invalid refresh token"}, DEAD, REVOKED, TWITCH),
        ("twitch", 400, {"error": "Bad Request", "status": 400, "message": "?"}, TRANSIENT, None, TWITCH),
        ("twitch", 403, {"status": 403, "message": "invalid client secret"}, APPLICATION, None, TWITCH_CLIENT),
        ("twitch", 400, {"status": 400, "message": "invalid client"}, APPLICATION, None, TWITCH_CLIENT),
        ("strava", 400, strava("RefreshToken", "refresh_token"), DEAD, REVOKED, STRAVA),
        ("strava", 400, strava("Application", "client_id"), APPLICATION, None, STRAVA_CLIENT),
        ("strava", 400, strava("AuthorizationCode", "code"), TRANSIENT, None, STRAVA),
    ],
)
def test_answer_to_a_refresh(
    slug: str, status: int, body: Any, verdict: Verdict, reason: ReauthReason | None, source: str
) -> None:
    entry = entry_of(slug)
    assert entry.oauth2 is not None and source
    judged = judge_token_answer(answer(status, body), entry.oauth2, BEFORE)
    assert (judged.verdict, judged.reason) == (verdict, reason)


@pytest.mark.parametrize(
    ("slug", "status", "body", "verdict", "reason", "source"),
    [
        ("facebook", 400, facebook(190, "...", error_subcode=458), DEAD, UNINSTALLED, FACEBOOK),
        ("facebook", 400, facebook(190, "...", error_subcode=463), DEAD, EXPIRED, FACEBOOK),
        ("facebook", 400, facebook(190, "...", error_subcode=460), DEAD, REVOKED, FACEBOOK),
        ("facebook", 400, facebook(190, "...", error_subcode=467), DEAD, REVOKED, FACEBOOK),
        ("facebook", 400, facebook(190, "You cannot access the app ...", error_subcode=459), TRANSIENT, None, FACEBOOK),
        ("facebook", 400, facebook(190, "Error validating application."), TRANSIENT, None, FACEBOOK),
        ("facebook", 400, facebook(190, "... Application has been deleted."), DEAD, DELETED, FACEBOOK_DELETED),
        ("facebook", 400, facebook(4, "Application request limit reached"), TRANSIENT, None, FACEBOOK),
        ("facebook", 200, {"id": "A1", "name": "Ada"}, OK, None, FACEBOOK),
        ("clickup", 401, {"err": "Token invalid", "ECODE": "OAUTH_025"}, DEAD, REVOKED, CLICKUP),
        ("clickup", 401, {"err": "Team not authorized", "ECODE": "OAUTH_027"}, TRANSIENT, None, CLICKUP),
        ("clickup", 200, {"user": {"id": "A1", "username": "Ada"}}, OK, None, CLICKUP),
        ("figma", 403, {"status": 403, "err": "Invalid token"}, DEAD, REVOKED, FIGMA),
        ("figma", 403, {"status": 403, "err": "Invalid scope(s)"}, TRANSIENT, None, FIGMA_SCOPE),
        ("monday", 200, {"data": {"me": {"__typename": "User", "id": "A1", "name": "Ada"}}}, OK, None, MONDAY),
        ("monday", 200, {"errors": [{"message": "..."}], "data": None}, TRANSIENT, None, MONDAY),
        ("twilio", 401, {"code": 20003, "message": "Authenticate", "status": 401}, DEAD, INVALID, TWILIO),
        ("twilio_api_key", 401, {"code": 70051, "status": 401}, TRANSIENT, None, TWILIO_KEY),
    ],
)
def test_answer_to_a_probe(
    slug: str, status: int, body: Any, verdict: Verdict, reason: ReauthReason | None, source: str
) -> None:
    entry = entry_of(slug)
    assert entry.probe is not None and entry.identity is not None and source
    judged = judge_probe_answer(answer(status, body), entry.probe)
    assert (judged.verdict, judged.reason) == (verdict, reason)
    if verdict is OK:
        whose = identify(entry.identity, BEFORE, judged.said)
        assert whose is not None and (whose.id, whose.name) == ("A1", "Ada")


def test_twilio_account_is_told_by_its_sid() -> None:
    entry = entry_of("twilio")
    assert entry.identity is not None
    whose = identify(entry.identity, KeyCredential(fields={"sid": "AC1", "token": "t"}), None)
    assert whose is not None and whose.id == "AC1"
