"""What can come between a customer and a connection, each by a code whose words are in `api/texts/`."""

from __future__ import annotations

from enum import StrEnum


class Trouble(StrEnum):
    """Codes that scripts read (`error_code` of a connect attempt) and whose words customers read."""

    # of our own links and pages
    LINK_INCOMPLETE = "link_incomplete"  # or of another browser
    LINK_EXPIRED = "link_expired"
    LINK_USED = "link_used"
    SESSION_LINK_USED = "session_link_used"
    SESSION_EXPIRED = "session_expired"
    FOREIGN_FORM = "foreign_form"
    FRAME_NOT_ALLOWED = "frame_not_allowed"  # by the organization, or not any more
    BUSY = "busy"
    # of the application here
    APPLICATION_NOT_FOUND = "application_not_found"
    APPLICATION_NOT_CONFIGURED = "application_not_configured"
    APPLICATION_CHANGED = "application_changed"
    # of the provider's answer
    INVALID_ANSWER = "invalid_answer"
    WRONG_ISSUER = "wrong_issuer"
    NO_CODE = "no_code"
    ACCESS_DENIED = "access_denied"
    APPROVAL_NEEDED = "approval_needed"  # by an administrator of the customer's
    SCOPES_MISSING = "scopes_missing"
    PROVIDER_FAILED = "provider_failed"
    PROVIDER_UNAVAILABLE = "provider_unavailable"  # it says so
    PROVIDER_UNREACHABLE = "provider_unreachable"
    APPLICATION_REFUSED = "application_refused"  # our own client is set up wrongly
    CODE_REFUSED = "code_refused"
    ACCOUNT_UNKNOWN = "account_unknown"
    # of the connection
    DIFFERENT_ACCOUNT = "different_account"
    ACCOUNT_ALREADY_CONNECTED = "account_already_connected"
    CONNECTION_DISCONNECTED = "connection_disconnected"
    CONNECTION_NOT_FOUND = "connection_not_found"
    REMOVAL_UNDER_WAY = "removal_under_way"
    # of what the customer typed in
    INVALID_FIELDS = "invalid_fields"
    CREDENTIALS_REFUSED = "credentials_refused"

    @classmethod
    def of(cls, error_code: str) -> Trouble:
        """An error of the API as customers read it: `BUSY` where it is nothing that concerns them."""
        return cls(error_code) if error_code in cls.__members__.values() else cls.BUSY
