"""What real providers' token endpoints answer to a refresh, and what it means; each line with its source."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

import httpx
import pytest

from everlink.contract import ReauthReason, Verdict
from providers.catalog import Catalog
from providers.credential import OAuthCredential
from providers.entry import OAuth2
from providers.http import Answer
from providers.identity import identify
from providers.verdict import TokenVerdict, judge_probe_answer, judge_token_answer

CATALOG = Catalog.load()
PLAIN = OAuth2(authorize_url="https://a.example/", token_url="https://a.example/token")
NOW = datetime(2026, 1, 1, tzinfo=UTC)
BEFORE = OAuthCredential(
    access_token="access-1",
    refresh_token="refresh-1",
    scope="read",
    extra={"instance_url": "https://i.example", "api_domain": "https://d.example"},
)
RFC = "RFC 6749 section 5"
BAD_INPUTS = "what any server or gateway can do"

OK, DEAD, TRANSIENT, APPLICATION = Verdict.OK, Verdict.DEAD, Verdict.TRANSIENT, Verdict.APPLICATION_ERROR
REVOKED, EXPIRED = ReauthReason.ACCESS_REVOKED, ReauthReason.REFRESH_TOKEN_EXPIRED


class Case(NamedTuple):
    slug: str | None  # None: an entry that says nothing of its own
    status: int
    body: Any
    verdict: Verdict
    source: str
    reason: ReauthReason | None = None
    headers: Mapping[str, str] = {}
    retry_after: float | None = None
    kept: Mapping[str, Any] = {}  # of the credential, beside the new access token
    expires_in: float | None = None
    ends_in: float | None = None

    def __str__(self) -> str:
        body = self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()
        return f"{self.slug}-{self.status}-{body[:70]!r}"


def microsoft(error: str, number: int, **more: Any) -> dict[str, Any]:
    return {"error": error, "error_description": f"AADSTS{number}: ...", "error_codes": [number], **more}


SLACK = "https://docs.slack.dev/reference/methods/oauth.v2.access"
GITHUB = "https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/refreshing-user-access-tokens"
GITHUB_ERRORS = "https://docs.github.com/en/apps/oauth-apps/maintaining-oauth-apps/troubleshooting-oauth-app-access-token-request-errors"
ZOHO = "https://zoho.com/bookings/help/api/v1/refreshaccesstoken.html"
HUBSPOT = "https://www.nango.dev/blog/hubspot-oauth-bad-refresh-token"
HUBSPOT_ERRORS = (
    "https://developers.hubspot.com/docs/api-reference/legacy/authentication/oauth-tokens/create-oauth-token"
)
SQUARE = "https://developer.squareup.com/reference/square/objects/ObtainTokenResponse"
SQUARE_DEAD = "https://developer.squareup.com/forums/t/getting-error-while-renew-token/11056"
SQUARE_SECRET = "https://developer.squareup.com/forums/t/not-authorized-for-oauth-in-sandbox/15379"
X = "https://docs.x.com/fundamentals/authentication/oauth-2-0/authorization-code"
X_CLIENT = "https://github.com/unasuke/omniauth-twitter2/issues/4"
ATLASSIAN = "https://developer.atlassian.com/cloud/oauth/getting-started/refresh-tokens/"
ATLASSIAN_403 = "https://github.com/raycast/extensions/issues/11836"
ATLASSIAN_SECRET = "https://mrrefactoring.github.io/jira.js/api/functions/index.isReauthorizationRequired.html"
SALESFORCE = "https://help.salesforce.com/apex/HTViewHelpDoc?id=xcloud.remoteaccess_oauth_flow_errors.htm"
SALESFORCE_BUSY = "https://github.com/segmentio/action-destinations/pull/2300"
SALESFORCE_TOKEN = "https://cloudsfdc.com/refresh-token-flow"
MICROSOFT = "https://learn.microsoft.com/entra/identity-platform/reference-error-codes"
GOOGLE = "https://developers.google.com/identity/protocols/oauth2"
GOOGLE_RAPT = "https://github.com/openclaw/gogcli/issues/338"
GOOGLE_CLIENT = "https://github.com/xyou365/AutoRclone/issues/98"

ANY_SERVER = [
    Case(None, 200, {"access_token": "new"}, OK, RFC),
    Case(None, 200, {"access_token": "new", "refresh_token": "r2"}, OK, RFC, kept={"refresh_token": "r2"}),
    Case(None, 200, {"access_token": "new", "refresh_token": ""}, OK, BAD_INPUTS),
    Case(None, 200, {"access_token": "new", "refresh_token": "refresh-1"}, OK, BAD_INPUTS),
    Case(None, 200, {"access_token": "new", "scope": ""}, OK, BAD_INPUTS),
    # It may have rotated: what no rule calls bad must not throw the new token away.
    Case(
        None,
        200,
        {"access_token": "new", "error": "?"},
        OK,
        BAD_INPUTS,
        kept={"extra": {**BEFORE.extra, "error": "?"}},
    ),
    Case(None, 200, {"access_token": "new", "expires_in": 3600}, OK, RFC, expires_in=3600),
    Case(None, 200, {"access_token": "new", "expires_in": "3600"}, OK, BAD_INPUTS, expires_in=3600),
    Case(None, 200, {"access_token": "new", "expires_in": 0}, OK, BAD_INPUTS),
    Case(None, 200, {"access_token": "new", "expires_in": -60}, OK, BAD_INPUTS),
    Case(None, 200, {"access_token": "new", "expires_in": True}, OK, BAD_INPUTS),
    Case(None, 200, {"access_token": "new", "expires_in": 1e99}, OK, BAD_INPUTS, expires_in=315360000),
    Case(None, 200, {"access_token": "new", "expires_in": "2026-01-01T01:00:00Z"}, OK, BAD_INPUTS),
    Case(None, 200, {"access_token": "new", "refresh_token_expires_in": 60}, OK, GITHUB, ends_in=60),
    Case(None, 200, {"access_token": "new", "refresh_token_expires_in": 0}, OK, BAD_INPUTS),
    Case(None, 200, {"access_token": ["new"]}, TRANSIENT, BAD_INPUTS),
    Case(None, 200, {"access_token": ""}, TRANSIENT, BAD_INPUTS),
    Case(None, 200, {"refresh_token": "r2"}, TRANSIENT, BAD_INPUTS),
    Case(None, 200, {"error": "invalid_grant"}, DEAD, BAD_INPUTS, REVOKED),
    Case(None, 200, {"ok": False}, TRANSIENT, BAD_INPUTS),
    Case(None, 200, b"<html>Sign in</html>", TRANSIENT, BAD_INPUTS),
    Case(None, 200, b'{"access_token": "ne', TRANSIENT, BAD_INPUTS),
    Case(None, 302, b"", TRANSIENT, BAD_INPUTS, headers={"location": "https://elsewhere.example/"}),
    Case(None, 307, {"error": "invalid_grant"}, TRANSIENT, BAD_INPUTS),
    Case(None, 400, {"error": "invalid_grant"}, DEAD, RFC, REVOKED),
    Case(None, 400, {"error": ["invalid_grant"]}, DEAD, BAD_INPUTS, REVOKED),
    Case(None, 400, {"error": {"code": "invalid_grant"}}, TRANSIENT, BAD_INPUTS),
    Case(None, 400, {"error": True}, TRANSIENT, BAD_INPUTS),
    Case(None, 400, {"error": "invalid_request"}, TRANSIENT, RFC),
    Case(None, 400, b"", TRANSIENT, BAD_INPUTS),
    Case(None, 400, {}, TRANSIENT, BAD_INPUTS),
    Case(None, 401, {"error": "invalid_client"}, APPLICATION, RFC),
    Case(None, 400, {"error": "unauthorized_client"}, APPLICATION, RFC),
    Case(None, 408, {"error": "invalid_grant"}, TRANSIENT, "RFC 9110 section 15.5.9"),
    Case(None, 425, {"error": "invalid_grant"}, TRANSIENT, "RFC 8470 section 5.2"),
    Case(None, 429, {"error": "invalid_grant"}, TRANSIENT, "RFC 6585 section 4"),
    Case(None, 429, b"", TRANSIENT, BAD_INPUTS, headers={"retry-after": "9" * 40}, retry_after=999999999),
    Case(None, 500, {"error": "invalid_grant"}, TRANSIENT, BAD_INPUTS),  # a failing server knows nothing
    Case(None, 502, {"error": "invalid_client"}, TRANSIENT, BAD_INPUTS),
    Case(None, 503, b"<html>", TRANSIENT, BAD_INPUTS, headers={"retry-after": "120"}, retry_after=120),
    Case(
        None,
        503,
        {},
        TRANSIENT,
        BAD_INPUTS,
        headers={"retry-after": "Thu, 01 Jan 2026 00:01:00 GMT"},
        retry_after=60,
    ),
]

PROVIDERS = [
    Case(
        "slack",
        200,
        {"ok": True, "access_token": "new", "token_type": "bot", "expires_in": 43200, "refresh_token": "r2"},
        OK,
        SLACK,
        kept={"refresh_token": "r2", "token_type": "Bearer", "extra": {**BEFORE.extra, "token_type": "bot"}},
        expires_in=43200,
    ),
    Case("slack", 200, {"ok": False, "error": "invalid_refresh_token"}, DEAD, SLACK, REVOKED),
    Case("slack", 200, {"ok": False, "error": "bad_client_secret"}, APPLICATION, SLACK),
    Case("slack", 200, {"ok": False, "error": "invalid_client_id"}, APPLICATION, SLACK),
    Case("slack", 200, {"ok": False, "error": "internal_error"}, TRANSIENT, SLACK),
    Case("slack", 200, {"ok": False, "access_token": "new"}, TRANSIENT, SLACK),
    Case("slack", 200, {"ok": 1, "access_token": "new"}, TRANSIENT, SLACK),
    Case("slack", 429, {"ok": False, "error": "ratelimited"}, TRANSIENT, SLACK, None, {"retry-after": "30"}, 30),
    Case(
        "github",
        200,
        {
            "access_token": "new",
            "expires_in": 28800,
            "refresh_token": "r2",
            "refresh_token_expires_in": 15897600,
            "scope": "",
            "token_type": "bearer",
        },
        OK,
        GITHUB,
        kept={"refresh_token": "r2", "token_type": "bearer"},
        expires_in=28800,
        ends_in=15897600,
    ),
    Case("github", 200, {"error": "bad_refresh_token", "error_description": "..."}, DEAD, GITHUB, REVOKED),
    Case("github", 200, {"error": "incorrect_client_credentials"}, APPLICATION, GITHUB_ERRORS),
    Case("github", 403, {"message": "API rate limit exceeded"}, TRANSIENT, GITHUB_ERRORS),
    Case(
        "zoho",
        200,
        {"access_token": "new", "expires_in": 3600, "api_domain": "https://www.zohoapis.com", "token_type": "Bearer"},
        OK,
        ZOHO,
        kept={"extra": {**BEFORE.extra, "api_domain": "https://www.zohoapis.com"}},
        expires_in=3600,
    ),
    Case("zoho", 200, {"error": "invalid_code"}, DEAD, ZOHO, REVOKED),
    Case("zoho", 200, {"error": "invalid_client"}, APPLICATION, ZOHO),
    Case("zoho", 200, {"error": "Access Denied", "status": "failure"}, TRANSIENT, ZOHO),
    Case("zoho", 400, {"error": "access_denied"}, TRANSIENT, ZOHO),
    Case(
        "hubspot",
        400,
        {"status": "BAD_REFRESH_TOKEN", "message": "missing or invalid refresh token"},
        DEAD,
        HUBSPOT,
        REVOKED,
    ),
    Case("hubspot", 400, {"error": "invalid_grant"}, DEAD, HUBSPOT, REVOKED),
    Case("hubspot", 400, {"category": "VALIDATION_ERROR", "message": "..."}, TRANSIENT, HUBSPOT_ERRORS),
    Case("hubspot", 429, {"status": "error", "category": "RATE_LIMITS"}, TRANSIENT, HUBSPOT_ERRORS),
    Case(
        "square",
        200,
        {"access_token": "new", "expires_at": "2026-01-31T00:00:00Z", "merchant_id": "M", "refresh_token": "refresh-1"},
        OK,
        SQUARE,
        kept={"extra": {**BEFORE.extra, "merchant_id": "M"}},
        expires_in=2592000,
    ),
    Case("square", 200, {"access_token": "new", "expires_at": 1767229200}, OK, BAD_INPUTS, expires_in=3600),
    Case("square", 200, {"access_token": "new", "expires_at": "2025-12-31T00:00:00Z"}, OK, BAD_INPUTS),
    Case("square", 200, {"access_token": "new", "expires_at": "tomorrow"}, OK, BAD_INPUTS),
    Case("square", 200, {"access_token": "new", "expires_at": True}, OK, BAD_INPUTS),
    Case(
        "square",
        401,
        {"message": "Invalid refresh token", "type": "service.not_authorized"},
        DEAD,
        SQUARE_DEAD,
        REVOKED,
    ),
    Case("square", 401, {"message": "Not Authorized", "type": "service.not_authorized"}, APPLICATION, SQUARE_SECRET),
    Case("square", 401, {"message": "Who are you", "type": "service.not_authorized"}, TRANSIENT, BAD_INPUTS),
    Case(
        "x", 200, {"access_token": "new", "refresh_token": "r2"}, OK, X, kept={"refresh_token": "r2"}, expires_in=7200
    ),
    Case(
        "x",
        400,
        {"error": "invalid_request", "error_description": "Value passed for the token was invalid."},
        DEAD,
        X,
        REVOKED,
    ),
    Case("x", 400, {"error": "invalid_request", "error_description": "Missing required parameter"}, TRANSIENT, X),
    Case("x", 401, {"error": "unauthorized_client", "error_description": "Missing ..."}, APPLICATION, X_CLIENT),
    Case(
        "atlassian",
        403,
        {"error": "unauthorized_client", "error_description": "refresh_token is invalid"},
        DEAD,
        ATLASSIAN_403,
        REVOKED,
    ),
    Case(
        "atlassian",
        403,
        {"error": "invalid_grant", "error_description": "Unknown or invalid refresh token."},
        DEAD,
        ATLASSIAN,
        REVOKED,
    ),
    Case("atlassian", 401, {"error": "access_denied"}, APPLICATION, ATLASSIAN_SECRET),
    Case("atlassian", 403, {"error": "unauthorized_client"}, APPLICATION, RFC),
    Case("atlassian", 403, b"<html>forbidden</html>", TRANSIENT, BAD_INPUTS),
    Case(
        "salesforce",
        200,
        {"access_token": "new", "instance_url": "https://two.example", "issued_at": "1708058728442"},
        OK,
        SALESFORCE_TOKEN,
        kept={"extra": {**BEFORE.extra, "instance_url": "https://two.example", "issued_at": "1708058728442"}},
    ),
    Case("salesforce", 200, {"access_token": "new"}, OK, BAD_INPUTS),
    Case(
        "salesforce",
        400,
        {"error": "invalid_grant", "error_description": "expired access/refresh token"},
        DEAD,
        SALESFORCE,
        REVOKED,
    ),
    Case(
        "salesforce",
        400,
        {"error": "invalid_grant", "error_description": "token request is already being processed"},
        TRANSIENT,
        SALESFORCE_BUSY,
    ),
    Case(
        "salesforce",
        400,
        {"error": "invalid_grant", "error_description": "expired authorization code"},
        TRANSIENT,
        SALESFORCE_BUSY,
    ),
    Case(
        "salesforce",
        400,
        {"error": "invalid_grant", "error_description": "IP restricted"},
        TRANSIENT,
        "https://salesforcedictionary.com/errors/invalid-oauth-grant",
    ),
    Case("salesforce", 400, {"error": "invalid_client_id"}, APPLICATION, "https://pastebin.com/y5mKM31g"),
    Case("microsoft", 400, microsoft("invalid_grant", 50173), DEAD, MICROSOFT, REVOKED),
    Case("microsoft", 400, microsoft("invalid_grant", 65001, suberror="consent_required"), DEAD, MICROSOFT, REVOKED),
    Case("microsoft", 400, microsoft("invalid_grant", 700082), DEAD, MICROSOFT, EXPIRED),
    Case("microsoft", 400, microsoft("invalid_grant", 70043), DEAD, MICROSOFT, EXPIRED),
    Case("microsoft", 400, microsoft("interaction_required", 50079), DEAD, MICROSOFT, EXPIRED),
    Case("microsoft", 400, microsoft("invalid_grant", 50076, suberror="basic_action"), DEAD, MICROSOFT, EXPIRED),
    Case("microsoft", 400, microsoft("invalid_grant", 53003), DEAD, MICROSOFT, EXPIRED),
    Case("microsoft", 400, microsoft("invalid_grant", 50033), TRANSIENT, MICROSOFT),
    Case("microsoft", 400, microsoft("invalid_grant", 90033), TRANSIENT, MICROSOFT),
    Case("microsoft", 400, microsoft("temporarily_unavailable", 90006), TRANSIENT, MICROSOFT),
    Case("microsoft", 401, microsoft("invalid_client", 7000222), APPLICATION, MICROSOFT),
    Case("microsoft", 400, microsoft("unauthorized_client", 700016), APPLICATION, MICROSOFT),
    Case("microsoft", 400, microsoft("invalid_resource", 500011), TRANSIENT, MICROSOFT),
    Case(
        "google",
        200,
        {"access_token": "new", "expires_in": 3599, "id_token": "i"},
        OK,
        GOOGLE,
        kept={"extra": {**BEFORE.extra, "id_token": "i"}},
        expires_in=3599,
    ),
    Case(
        "google",
        400,
        {"error": "invalid_grant", "error_description": "Token has been expired or revoked."},
        DEAD,
        GOOGLE,
        REVOKED,
    ),
    Case("google", 400, {"error": "invalid_grant", "error_subtype": "invalid_rapt"}, DEAD, GOOGLE_RAPT, EXPIRED),
    Case("google", 401, {"error": "deleted_client"}, DEAD, GOOGLE_CLIENT, ReauthReason.APPLICATION_DELETED),
    Case("google", 500, {"error": "internal_failure"}, TRANSIENT, GOOGLE),
]


def entry_of(slug: str | None) -> OAuth2:
    if slug is None:
        return PLAIN
    entry = CATALOG.get(slug)
    assert entry is not None and entry.oauth2 is not None
    return entry.oauth2


def answer(case: Case) -> Answer:
    body = case.body if isinstance(case.body, bytes) else json.dumps(case.body).encode()
    return Answer(case.status, httpx.Headers(dict(case.headers)), body)


@pytest.mark.parametrize("case", ANY_SERVER + PROVIDERS, ids=str)
def test_answer_to_a_refresh(case: Case) -> None:
    judged = judge_token_answer(answer(case), entry_of(case.slug), BEFORE, NOW)
    kept = None
    if case.verdict is OK:
        kept = BEFORE.model_copy(update={"access_token": "new", **case.kept})
    words = {
        OK: "the provider granted a token",
        DEAD: "the provider refused the refresh token",
        APPLICATION: "the provider refused the application's own client",
        TRANSIENT: f"the provider answered HTTP {case.status} without a verdict on the credential",
    }
    assert judged == TokenVerdict(
        verdict=case.verdict,
        note=words[case.verdict],
        reason=case.reason,
        retry_after=case.retry_after,
        credential=kept,
        expires_in=case.expires_in,
        ends_in=case.ends_in,
    )


@pytest.mark.parametrize(
    ("slug", "status", "body", "verdict", "reason"),
    [
        ("slack", 200, {"ok": True, "team_id": "T1", "team": "Acme"}, OK, None),
        ("slack", 200, {"ok": False, "error": "invalid_auth"}, TRANSIENT, None),  # it may be our address
        ("slack", 200, {"ok": False, "error": "token_revoked"}, DEAD, REVOKED),
        ("slack", 200, {"ok": False, "error": "token_expired"}, DEAD, EXPIRED),
        ("slack", 200, {"ok": False, "error": "fatal_error"}, TRANSIENT, None),
        ("square", 200, {"merchant_id": "T1"}, OK, None),
        ("square", 401, {"errors": [{"category": "A"}, {"code": "ACCESS_TOKEN_REVOKED"}]}, DEAD, REVOKED),
        ("square", 401, {"errors": [{"code": "ACCESS_TOKEN_EXPIRED"}]}, DEAD, EXPIRED),
        ("square", 401, {"errors": []}, TRANSIENT, None),
        ("salesforce", 403, b"Bad_OAuth_Token", DEAD, REVOKED),
        ("x", 200, {"data": {"id": "T1", "username": "ada"}}, OK, None),
        ("github", 403, {"message": "API rate limit exceeded"}, TRANSIENT, None),
    ],
    ids=lambda value: str(value)[:40],
)
def test_answer_to_a_probe(slug: str, status: int, body: Any, verdict: Verdict, reason: ReauthReason | None) -> None:
    entry = CATALOG.get(slug)
    assert entry is not None and entry.probe is not None and entry.identity is not None
    judged = judge_probe_answer(answer(Case(slug, status, body, verdict, "")), entry.probe)
    assert (judged.verdict, judged.reason) == (verdict, reason)
    whose = identify(entry.identity, BEFORE, judged.said)
    assert (whose.id if whose else None) == ("T1" if verdict is OK else None)
