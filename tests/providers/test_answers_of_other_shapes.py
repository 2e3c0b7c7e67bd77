"""Answers of real providers that say what they mean in another place, or under another status, than is usual."""

from __future__ import annotations

from typing import Any

import pytest

from everlink.contract import ReauthReason, Verdict
from providers.credential import OAuthCredential
from providers.identity import identify
from providers.verdict import judge_probe_answer, judge_token_answer
from tests.providers.answers import answer, entry_of

OK, DEAD, TRANSIENT = Verdict.OK, Verdict.DEAD, Verdict.TRANSIENT
REVOKED, EXPIRED = ReauthReason.ACCESS_REVOKED, ReauthReason.REFRESH_TOKEN_EXPIRED
DENIED = {"errors": [{"message": "Throttled", "extensions": {"code": "THROTTLED"}}]}


@pytest.mark.parametrize(
    ("slug", "status", "body", "verdict", "reason"),
    [
        # https://github.com/dropbox/dropbox-api-spec
        ("dropbox", 401, {"error_summary": "invalid_access_token/..", "error": {}}, DEAD, REVOKED),
        ("dropbox", 401, {"error_summary": "expired_access_token/..", "error": {}}, DEAD, EXPIRED),
        ("dropbox", 401, {"error_summary": "missing_scope/..", "error": {}}, TRANSIENT, None),
        # https://github.com/intercom/Intercom-OpenAPI
        ("intercom", 401, {"type": "error.list", "errors": [{"code": "unauthorized"}]}, DEAD, REVOKED),
        ("linear", 200, DENIED, TRANSIENT, None),
        # the connector that asks for it in https://github.com/airbytehq/airbyte
        ("mailchimp", 200, {"error": "invalid_token"}, DEAD, REVOKED),
        ("mailchimp", 200, {}, TRANSIENT, None),
        ("shopify", 200, DENIED, TRANSIENT, None),
        # https://github.com/Shopify/shopify_django_app/issues/37
        ("shopify", 401, {"errors": "[API] Invalid API key or access token"}, DEAD, REVOKED),
    ],
    ids=lambda value: str(value)[:40],
)
def test_refusal_of_a_probe(slug: str, status: int, body: Any, verdict: Verdict, reason: ReauthReason | None) -> None:
    probe = entry_of(slug).probe
    assert probe is not None
    judged = judge_probe_answer(answer(status, body), probe)
    assert (judged.verdict, judged.reason) == (verdict, reason)


@pytest.mark.parametrize(
    ("slug", "body", "account"),
    [
        # https://github.com/intercom/Intercom-OpenAPI
        ("intercom", {"type": "admin", "id": "9", "app": {"id_code": "w1", "name": "Acme"}}, "w1"),
        (
            "linear",
            {
                "data": {
                    "viewer": {"__typename": "User", "id": "u", "email": "a@a.example"},
                    "organization": {"id": "o"},
                }
            },
            "u",
        ),
        ("mailchimp", {"dc": "us1", "api_endpoint": "https://us1.api.mailchimp.com", "user_id": 7}, "7"),
        ("pipedrive", {"success": True, "data": {"id": 3, "company_id": 8, "company_name": "Acme"}}, "8"),
        (
            "shopify",
            {"data": {"shop": {"__typename": "Shop", "id": "gid://shopify/Shop/1", "myshopifyDomain": "a.example"}}},
            "gid://shopify/Shop/1",
        ),
    ],
    ids=lambda value: str(value)[:40],
)
def test_whose_account_it_is(slug: str, body: Any, account: str) -> None:
    entry = entry_of(slug)
    assert entry.probe is not None and entry.identity is not None
    judged = judge_probe_answer(answer(200, body), entry.probe)
    whose = identify(entry.identity, OAuthCredential(access_token="a"), judged.said)
    assert (judged.verdict, whose.id if whose else None) == (OK, account)


@pytest.mark.parametrize(
    ("slug", "says"),
    [
        # https://airtable.com/developers/web/api/oauth-reference, https://github.com/intuit/oauth-jsclient
        ("airtable", {"expires_in": 3600, "refresh_expires_in": 60}),
        ("quickbooks", {"expires_in": 3600, "x_refresh_token_expires_in": 60}),
    ],
)
def test_end_of_a_refresh_token_stands_under_another_name(slug: str, says: dict[str, int]) -> None:
    oauth2 = entry_of(slug).oauth2
    assert oauth2 is not None
    body = {"access_token": "a", "refresh_token": "r", **says}
    judged = judge_token_answer(answer(200, body), oauth2, None)
    assert (judged.verdict, judged.expires_in, judged.ends_in) == (OK, 3600.0, 60.0)


@pytest.mark.parametrize(
    ("says", "reason"), [("Refresh token has expired", EXPIRED), ("Invalid refresh token", REVOKED)]
)
def test_box_says_why_a_refresh_token_is_refused(says: str, reason: ReauthReason) -> None:
    oauth2 = entry_of("box").oauth2
    assert oauth2 is not None
    judged = judge_token_answer(answer(400, {"error": "invalid_grant", "error_description": says}), oauth2, None)
    assert (judged.verdict, judged.reason) == (DEAD, reason)
