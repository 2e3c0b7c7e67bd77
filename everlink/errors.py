"""What the client raises. No message holds a secret."""

from __future__ import annotations

from typing import Any


class EverlinkError(Exception):
    """Everlink answered with an error, or not at all.

    `status` is the HTTP status, None where nobody answered; `error_code` is stable and meant for code,
    the message for people; the service logs a defect (500) with its `request_id`.
    """

    def __init__(
        self, message: str, *, status: int | None = None, error_code: str = "", request_id: str = "", **fields: Any
    ) -> None:
        super().__init__(message)
        self.status = status
        self.error_code = error_code
        self.request_id = request_id
        self.fields = fields  # what else the answer said, e.g. `details` of a request that is not valid


class NotFound(EverlinkError):
    """There is no such thing for this API key: 404."""


class Unavailable(EverlinkError):
    """Everlink, its database, Temporal or the provider could not answer now; nothing was decided. Try again."""


class ReauthRequired(EverlinkError):
    """Only the customer can help: they have to reconnect.

    The plugin raises it, too, while it is being verified whether they have to.
    """

    @property
    def connection_id(self) -> str | None:
        """Whose credential is refused."""
        return self.fields.get("connection_id")

    @property
    def generation(self) -> int | None:
        """Of the credential that the provider refused, where that is how it came out."""
        return self.fields.get("generation")

    @property
    def reason(self) -> str | None:
        """Why, as one of the contract's `ReauthReason`."""
        return self.fields.get("reason")

    @property
    def reconnect_url(self) -> str | None:
        """A link for the customer's browser, good for some minutes; None where there is none for this application."""
        return self.fields.get("reconnect_url")


def error_for(status: int, body: dict[str, Any]) -> EverlinkError:
    """The error of an answer that was none of success."""
    known = {"status_code", "http_error_type", "error_code", "message", "request_id"}
    fields = {name: value for name, value in body.items() if name not in known}
    code = str(body.get("error_code", ""))
    kind = EverlinkError
    if status == 404:
        kind = NotFound
    elif status in (429, 502, 503, 504) or code == "idempotency_key_in_use":
        kind = Unavailable
    elif code == "reauth_required":
        kind = ReauthRequired
    wrong = "; ".join(_named(one) for one in fields.get("details") or ())
    return kind(
        str(body.get("message") or f"HTTP {status}") + (f": {wrong}" if wrong else ""),
        status=status,
        error_code=code,
        request_id=str(body.get("request_id", "")),
        **fields,
    )


def _named(detail: dict[str, Any]) -> str:
    """Where something is not valid, and what it should be; what was sent is not in it."""
    return f"{'.'.join(str(part) for part in detail.get('loc', ()))}: {detail.get('msg', '')}"
