"""Answers of providers that name a token's end, a refusal or an account elsewhere than the standards do."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from everlink.contract import ReauthReason, Verdict
from providers.credential import OAuthCredential
from providers.identity import identify
from providers.verdict import judge_probe_answer, judge_token_answer
from tests.providers.answers import answer, entry_of

OK, DEAD, TRANSIENT, APPLICATION = Verdict.OK, Verdict.DEAD, Verdict.TRANSIENT, Verdict.APPLICATION_ERROR
REVOKED = ReauthReason.ACCESS_REVOKED
NOW = datetime(2026, 1, 1, tzinfo=UTC)
SOON = int(NOW.timestamp()) + 900


@pytest.mark.parametrize(
    ("slug", "said", "expires_in", "ends_in"),
    [
        # https://docs.clover.com/docs/refresh-access-tokens: epoch seconds
        ("clover", {"access_token_expiration": SOON, "refresh_token_expiration": SOON}, 900, None),
        # https://dev.frontapp.com/docs/oauth
        ("front", {"expires_at": SOON}, 900, None),
        ("front", {}, 3600, None),
        # https://developers.line.biz/en/reference/line-login/: the end is counted from the consent, by the entry
        ("line", {"expires_in": 2591977}, 2591977, None),
        # https://github.com/ringcentral/ringcentral-api-docs/blob/main/docs/authentication/refresh-tokens.md
        ("ringcentral", {"expires_in": 7199, "refresh_token_expires_in": 604799}, 7199, 604799),
        # https://developers.squarespace.com/commerce-apis/oauth.md: epoch seconds with a fraction, in a text
        ("squarespace", {"access_token_expires_at": f"{SOON}.0"}, 900, None),
        # https://developers.tiktok.com/docs/en/oauth-refresh-a-user-access-token
        ("tiktok", {"expires_in": 7200, "refresh_expires_in": 15552000}, 7200, 15552000),
    ],
    ids=lambda value: str(value)[:40],
)
def test_end_of_a_token(slug: str, said: dict[str, Any], expires_in: float, ends_in: float | None) -> None:
    oauth2 = entry_of(slug).oauth2
    assert oauth2 is not None
    judged = judge_token_answer(answer(200, {"access_token": "a", "refresh_token": "r", **said}), oauth2, None, NOW)
    assert (judged.verdict, judged.expires_in, judged.ends_in) == (OK, expires_in, ends_in)


def test_tokens_in_an_envelope_are_read_there() -> None:
    entry = entry_of("withings")
    assert entry.oauth2 is not None and entry.identity is not None
    body = {"userid": 363, "access_token": "a", "refresh_token": "r", "expires_in": 10800, "scope": "user.info"}
    judged = judge_token_answer(answer(200, {"status": 0, "body": body}), entry.oauth2, None, NOW)
    credential = judged.credential
    assert credential is not None
    assert (credential.access_token, credential.refresh_token, credential.scope) == ("a", "r", "user.info")
    assert judged.expires_in == 10800
    whose = identify(entry.identity, credential, None)
    assert whose is not None and whose.id == "363"


@pytest.mark.parametrize(
    ("slug", "status", "body", "verdict"),
    [
        # https://github.com/canva-sdks/canva-connect-api-starter-kit/blob/main/openapi/spec.yml
        ("canva", 400, {"code": "invalid_grant", "message": "Invalid refresh token"}, DEAD),
        ("canva", 401, {"code": "invalid_access_token", "message": "Client secret is invalid for A1"}, APPLICATION),
        ("canva", 401, {"code": "invalid_access_token", "message": "Access token is missing"}, TRANSIENT),
        ("canva", 400, {"code": "bad_request_body", "message": "Request body too large"}, TRANSIENT),
        # HTTP 200 of the service, as public clients record it
        ("withings", 200, {"status": 503, "error": "Invalid Params: invalid refresh_token"}, DEAD),
        ("withings", 200, {"status": 601, "body": {}, "error": "Too Many Requests"}, TRANSIENT),
        ("withings", 200, {"status": 503, "error": "Service Unavailable"}, TRANSIENT),
    ],
    ids=lambda value: str(value)[:40],
)
def test_refusal_of_a_refresh(slug: str, status: int, body: Any, verdict: Verdict) -> None:
    oauth2 = entry_of(slug).oauth2
    assert oauth2 is not None
    assert judge_token_answer(answer(status, body), oauth2, None, NOW).verdict is verdict


@pytest.mark.parametrize(
    ("slug", "status", "body", "verdict"),
    [
        # https://docs.attio.com/rest-api/endpoint-reference/meta/identify
        ("attio", 200, {"active": True, "workspace_id": "w"}, OK),
        ("attio", 200, {"active": False}, DEAD),
        # https://developers.tiktok.com/doc/tiktok-api-v2-error-handling
        ("tiktok", 200, {"data": {"user": {"open_id": "o"}}, "error": {"code": "ok"}}, OK),
        ("tiktok", 401, {"error": {"code": "access_token_invalid"}}, DEAD),
        ("tiktok", 401, {"error": {"code": "scope_not_authorized"}}, TRANSIENT),
        # https://developer.withings.com/api-reference/#section/Response-status
        ("withings", 200, {"status": 0, "body": {"devices": []}}, OK),
        ("withings", 200, {"status": 401, "error": "invalid token"}, DEAD),
        ("withings", 200, {"status": 601, "error": "Too Many Requests"}, TRANSIENT),
    ],
    ids=lambda value: str(value)[:40],
)
def test_answer_to_a_probe(slug: str, status: int, body: Any, verdict: Verdict) -> None:
    probe = entry_of(slug).probe
    assert probe is not None
    judged = judge_probe_answer(answer(status, body), probe)
    assert (judged.verdict, judged.reason) == (verdict, REVOKED if verdict is DEAD else None)


@pytest.mark.parametrize(
    ("slug", "said", "probed", "callback", "account", "keys"),
    [
        # https://docs.clover.com/docs/use-oauth
        ("clover", {}, None, {"merchant_id": "M1", "code": "c"}, "M1", {"account": ["M1"]}),
        # https://docs.digitalocean.com/reference/api/oauth/
        (
            "digitalocean",
            {"info": {"uuid": "u", "team_uuid": "t"}},
            {"account": {"uuid": "u"}},
            {},
            "u",
            {"account": ["u"], "team": ["t"]},
        ),
        # https://docs.gusto.com/app-integrations/reference/get-v1-token-info
        (
            "gusto",
            {},
            {"scope": "public", "resource": {"type": "Company", "uuid": "c"}, "resource_owner": {"uuid": "o"}},
            {},
            "c",
            {"account": ["c"], "user": ["o"]},
        ),
        ("ringcentral", {"owner_id": "256440016"}, None, {}, "256440016", {"account": ["256440016"]}),
    ],
    ids=lambda value: str(value)[:40],
)
def test_whose_account_it_is(
    slug: str,
    said: dict[str, Any],
    probed: dict[str, Any] | None,
    callback: dict[str, str],
    account: str,
    keys: dict[str, list[str]],
) -> None:
    identity = entry_of(slug).identity
    assert identity is not None
    whose = identify(identity, OAuthCredential(access_token="a", extra={**said, "callback": callback}), probed)
    assert whose is not None and (whose.id, whose.keys) == (account, keys)
