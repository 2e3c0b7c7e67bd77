"""What providers answer to keys and to customers' own clients, where a status alone does not tell."""

from __future__ import annotations

from typing import Any

import pytest

from everlink.contract import ReauthReason, Verdict
from providers.credential import KeyCredential
from providers.identity import identify
from providers.verdict import judge_probe_answer, judge_token_answer
from tests.providers.answers import answer, entry_of

OK, DEAD, TRANSIENT = Verdict.OK, Verdict.DEAD, Verdict.TRANSIENT


@pytest.mark.parametrize(
    ("slug", "status", "body", "verdict"),
    [
        ("openai", 401, {"error": {"code": "invalid_api_key", "type": "invalid_request_error"}}, DEAD),
        ("openai", 401, {"error": {"code": "ip_not_authorized"}}, TRANSIENT),
        ("anthropic", 401, {"type": "error", "error": {"type": "authentication_error"}}, DEAD),
        ("anthropic", 403, {"type": "error", "error": {"type": "permission_error"}}, TRANSIENT),
        ("brevo", 401, {"message": "Key not found", "code": "unauthorized"}, DEAD),
        ("brevo", 401, {"message": "We have detected an unrecognised IP address", "code": "unauthorized"}, TRANSIENT),
        ("freshdesk", 401, {"code": "invalid_credentials", "message": "You have to be logged in ..."}, DEAD),
        ("freshdesk", 403, {"code": "access_denied"}, TRANSIENT),
        ("chargebee", 401, {"api_error_code": "api_authentication_failed"}, DEAD),
        ("chargebee", 403, {"api_error_code": "api_authorization_failed"}, TRANSIENT),
        ("vercel", 403, {"error": {"code": "forbidden", "message": "Not authorized", "invalidToken": True}}, DEAD),
        ("vercel", 403, {"error": {"code": "forbidden", "message": "Not authorized"}}, TRANSIENT),
        ("algolia", 403, {"message": "Invalid Application-ID or API key", "status": 403}, DEAD),
        ("algolia", 403, {"message": "Method not allowed with this API key", "status": 403}, TRANSIENT),
        ("datadog", 200, {"status": "ok"}, OK),
        ("datadog", 403, {"errors": ["Forbidden"]}, DEAD),
        ("datadog", 403, {"errors": ["This address is not on the allowlist"]}, TRANSIENT),
        ("datadog", 403, b"<html>403 Forbidden</html>", TRANSIENT),
        ("clickup_token", 401, {"err": "Token invalid", "ECODE": "OAUTH_025"}, DEAD),
        ("clickup_token", 401, {"err": "Team not authorized", "ECODE": "OAUTH_027"}, TRANSIENT),
        ("toggl", 403, b"Incorrect username and/or password", DEAD),
        ("cloudflare", 200, {"result": {"id": "f2", "status": "active"}, "success": True}, OK),
        ("cloudflare", 200, {"result": {"id": "f2", "status": "expired"}, "success": True}, DEAD),
        ("intercom_token", 401, {"type": "error.list", "errors": [{"code": "unauthorized"}]}, DEAD),
        ("intercom_token", 401, {"type": "error.list", "errors": [{"code": "token_revoked"}]}, DEAD),
        ("intercom_token", 401, {"type": "error.list", "errors": [{"code": "token_unauthorized"}]}, TRANSIENT),
        ("mailchimp_key", 401, {"title": "API Key Invalid", "status": 401}, DEAD),
        ("notion_token", 401, {"object": "error", "code": "unauthorized"}, DEAD),
        ("confluence_token", 200, {"type": "known", "accountId": "1"}, OK),
        ("confluence_token", 200, {"type": "anonymous"}, TRANSIENT),
        ("servicenow", 401, {"error": {"message": "User Not Authenticated"}, "status": "failure"}, DEAD),
        ("posthog", 403, {"type": "authentication_error", "code": "authentication_failed"}, DEAD),
        ("posthog", 403, {"type": "authentication_error", "code": "permission_denied"}, TRANSIENT),
        (
            "sendgrid",
            401,
            {"errors": [{"message": "The provided authorization grant is invalid, expired, or revoked"}]},
            DEAD,
        ),
        ("sendgrid", 401, {"errors": [{"message": "Maximum credits exceeded"}]}, TRANSIENT),
        ("sentry", 401, {"detail": "Invalid token"}, DEAD),
        ("sentry", 401, {"detail": {"code": "member-disabled-over-limit"}}, TRANSIENT),
        ("woocommerce", 401, {"message": "Consumer secret is invalid."}, DEAD),
        ("woocommerce", 401, {"code": "woocommerce_rest_cannot_view"}, TRANSIENT),
        ("woocommerce", 401, {"message": "The API key provided does not have read permissions."}, TRANSIENT),
        ("woocommerce", 200, [{"id": 1}], OK),
    ],
    ids=lambda value: str(value)[:50],
)
def test_answer_to_a_key(slug: str, status: int, body: Any, verdict: Verdict) -> None:
    entry = entry_of(slug)
    assert entry.probe is not None
    judged = judge_probe_answer(answer(status, body), entry.probe)
    assert judged.verdict is verdict
    assert (judged.reason is ReauthReason.CREDENTIALS_INVALID) is (verdict is DEAD)


@pytest.mark.parametrize(
    ("slug", "status", "body", "verdict"),
    [
        ("auth0_management", 401, {"error": "access_denied", "error_description": "Unauthorized"}, DEAD),
        ("auth0_management", 403, {"error": "access_denied", "error_description": "Client is not ..."}, TRANSIENT),
        ("box_client_credentials", 400, {"error": "invalid_grant"}, DEAD),
        ("fedex", 401, {"errors": [{"code": "NOT.AUTHORIZED.ERROR"}]}, DEAD),
        ("fedex", 500, {"errors": [{"code": "INTERNAL.SERVER.ERROR"}]}, TRANSIENT),
        ("microsoft_client_credentials", 401, {"error": "invalid_client", "error_codes": [7000222]}, DEAD),
        ("microsoft_client_credentials", 400, {"error": "invalid_request", "error_codes": [90002]}, DEAD),
        ("microsoft_client_credentials", 400, {"error": "invalid_request", "error_codes": [90014]}, TRANSIENT),
        (
            "salesforce_client_credentials",
            400,
            {"error": "invalid_grant", "error_description": "no client credentials user enabled"},
            DEAD,
        ),
        (
            "salesforce_client_credentials",
            400,
            {"error": "invalid_grant", "error_description": "ip restricted"},
            TRANSIENT,
        ),
        ("zoom_server_to_server", 400, {"error": "invalid_client", "reason": "Invalid client_id or ..."}, DEAD),
    ],
    ids=lambda value: str(value)[:50],
)
def test_answer_to_a_customers_own_client(slug: str, status: int, body: Any, verdict: Verdict) -> None:
    entry = entry_of(slug)
    assert entry.oauth2 is not None
    judged = judge_token_answer(answer(status, body), entry.oauth2, None)
    assert judged.verdict is verdict
    assert (judged.reason is ReauthReason.CREDENTIALS_INVALID) is (verdict is DEAD)


def test_account_of_a_site_is_the_site_and_its_key_names_the_person() -> None:
    entry = entry_of("zendesk_token")
    assert entry.identity is not None
    given = KeyCredential(fields={"subdomain": "acme", "email": "ada@acme.example", "api_token": "t"})
    whose = identify(entry.identity, given, {"user": {"id": 7}})
    assert whose is not None
    assert (whose.id, whose.keys) == ("acme", {"account": ["acme"], "user": ["7"]})
