"""What a refusal on the way back from consent means."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from providers.catalog import Catalog
from providers.denials import denied_by
from providers.rules import Denial, DenialRule

CATALOG = Catalog.load()


@pytest.mark.parametrize(
    ("slug", "said", "by"),
    [
        ("slack", {"error": "access_denied"}, Denial.CUSTOMER),
        ("google", {"error": "interaction_required"}, Denial.CUSTOMER),
        ("slack", {"error": "temporarily_unavailable"}, Denial.PROVIDER),
        ("slack", {"error": "server_error"}, Denial.PROVIDER),
        ("slack", {"error": "invalid_scope"}, Denial.APPLICATION),
        ("slack", {"error": "unauthorized_client"}, Denial.APPLICATION),
        ("slack", {"error": "Access_Denied"}, None),
        ("slack", {"error": ""}, None),
        ("slack", {"error": "what", "error_description": "access_denied"}, None),
        (
            "microsoft",
            {
                "error": "access_denied",
                "error_description": "AADSTS90094: An administrator of Contoso has set a policy",
            },
            Denial.ADMINISTRATOR,
        ),
        (
            "microsoft",
            {"error": "access_denied", "error_subcode": "cancel", "error_description": "AADSTS65004: User declined"},
            Denial.CUSTOMER,
        ),
        ("slack", {"error": "access_denied", "error_description": "AADSTS90094"}, Denial.CUSTOMER),
        (
            "salesforce",
            {"error": "OAUTH_APP_BLOCKED", "error_description": "this app is blocked"},
            Denial.ADMINISTRATOR,
        ),
        (
            "salesforce",
            {"error": "OAUTH_APP_ACCESS_DENIED", "error_description": "user is not admin approved to access this app"},
            Denial.ADMINISTRATOR,
        ),
        ("salesforce", {"error": "OAUTH_APP_ACCESS_DENIED"}, Denial.CUSTOMER),
        ("github", {"error": "redirect_uri_mismatch"}, Denial.APPLICATION),
        ("github_oauth_app", {"error": "application_suspended"}, Denial.APPLICATION),
    ],
    ids=str,
)
def test_refusal_tells_who_can_do_something_about_it(slug: str, said: dict[str, str], by: Denial | None) -> None:
    entry = CATALOG.get(slug)
    assert entry is not None and entry.oauth2 is not None
    assert denied_by(entry.oauth2, said) is by


def test_rule_of_a_query_has_no_status() -> None:
    with pytest.raises(ValidationError, match="no `status`"):
        DenialRule(status=403, by=Denial.CUSTOMER)
