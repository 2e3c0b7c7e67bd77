"""What the provider's refusal on the way back from consent means: who can do something about it."""

from __future__ import annotations

from collections.abc import Mapping

from everlink.answers import first_match
from providers.entry import OAuth2
from providers.rules import Denial, DenialRule

RFC = "RFC 6749 section 4.1.2.1"
OIDC = "OpenID Connect Core 1.0 section 3.1.2.6"
STANDARD = (
    DenialRule(code="access_denied", by=Denial.CUSTOMER, source=RFC),
    *(
        DenialRule(code=code, by=Denial.CUSTOMER, source=OIDC)
        for code in ("login_required", "consent_required", "interaction_required", "account_selection_required")
    ),
    DenialRule(code="server_error", by=Denial.PROVIDER, source=RFC),
    DenialRule(code="temporarily_unavailable", by=Denial.PROVIDER, source=RFC),
    *(
        DenialRule(code=code, by=Denial.APPLICATION, source=RFC)
        for code in ("invalid_request", "unauthorized_client", "unsupported_response_type", "invalid_scope")
    ),
    # Of token requests in the standard; some servers bring them back by the browser.
    DenialRule(code="invalid_client", by=Denial.APPLICATION, source="RFC 6749 section 5.2"),
)


def denied_by(oauth2: OAuth2, said: Mapping[str, str]) -> Denial | None:
    """Who denied consent, by the query of the callback; None where neither the entry nor a standard knows."""
    rule = first_match((*oauth2.denials, *STANDARD), 200, dict(said))
    return rule.by if rule is not None else None
