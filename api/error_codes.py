"""Every `error_code` that the API answers, and what to do about it. `tests/api/test_promises.py` holds the list."""

from __future__ import annotations

ERROR_CODES: dict[int, dict[str, str]] = {
    400: {
        "INVALID_EVENT": "name at least one event in `webhook_events`, and only events that there are",
        "INVALID_LINKED_ACCOUNT_ID": "create the linked account first",
        "account_id_missing": "give an `account_id`",
        "application_not_configured": "enable the application, with its client: `PUT /v1/applications/{slug}`",
        "linked_account_id_missing": "name a linked account by the header or query `linked_account_id`",
        "not_keybased": "take the customer to the link of `oauth-url` or `reconnect` instead",
        "not_machine_to_machine": "connect it by its link or key instead",
        "not_oauth2": "save the customer's new key instead (`save-key-credentials`)",
    },
    401: {
        "codec_sign_in_needed": "sign in at `/codec`, and let the Web UI include credentials",
        "invalid_api_key": "show a living key in `x-api-key`; this route may take no session token",
        "invalid_refresh_token": "ask your server for a new session token",
        "invalid_signature": "see that `signing_secret` is what the provider signs with: its event was not believed",
        "invalid_session_token": "renew the session token, or ask your server for a new one",
    },
    403: {
        "not_the_web_ui": "let `EVERLINK_WEB_UI_URL` say where Temporal's Web UI is opened",
        "insufficient_scope": "use a key that has `required_scopes`",
        "origin_not_allowed": "name the page's origin: `PUT /v1/settings`",
    },
    404: {
        "api_key_not_found": "there is none of this id here",
        "application_not_found": "it is not enabled here, or is in no catalog",
        "connect_attempt_not_found": "there is none of this id here, or it ended long ago",
        "connection_not_found": "there is none of this id here",
        "delivery_not_found": "the event was not due at this endpoint, or one of them is not here",
        "event_not_found": "there is none of this id here",
        "hook_not_found": "nothing is told here: see the application's `events_url`",
        "linked_account_not_found": "create it first; one that is being removed counts as gone",
        "not_found": "there is no such address",
        "organization_not_found": "everything has been erased",
        "removal_not_found": "there is none of this id here",
        "replay_not_found": "there is none of this id here; one goes with its endpoint",
        "webhook_endpoint_not_found": "there is none of this id here",
    },
    405: {"method_not_allowed": "the header `allow` says which methods there are"},
    409: {
        "account_already_connected": "disconnect the other connection of that account first, or keep both",
        "application_in_use": "remove the application, and disconnect what is connected, before",
        "api_key_ended": "make a new key: one that has ended is not rotated",
        "connection_disconnected": "connect anew; a connection that has ended never lives again",
        "connection_pending": "the customer has to finish connecting",
        "different_account": "the customer has to choose the account that was connected before; or `switch_account`",
        "endpoint_disabled": "enable the webhook endpoint first: `is_enabled`",
        "idempotency_key_in_use": "the first request with this key is under way: send it again after `retry-after`",
        "last_admin_key": "make another key with the scope `admin` first",
        "linked_account_exists": "change it instead",
        "reauth_required": "show the customer `reconnect_url`, or ask for a new key; `reason` says why",
        "removal_under_way": "send it again when the removal has finished",
        "too_many_applications": "remove an application of your own that is not needed",
        "secret_just_rotated": "use the secret of the other rotation, or rotate once more",
        "replay_under_way": "look at the replay, and send it again when it has finished",
    },
    413: {"body_too_large": "send less"},
    422: {
        "already_expired": "give what has not ended yet",
        "another_organization": "name the organization that the API key belongs to",
        "application_refused": "mend the application's client id or secret: the provider refuses them",
        "catalog_url_refused": "`details` names the addresses: give such as are https, resolve and are public",
        "codec_key_invalid": "set the key that the message names: `EVERLINK_CODEC_KEY`",
        "credentials_refused": "ask the customer for another key or grant; `fields` and `reason` say what is refused",
        "embed_origin_not_allowed": "name the origin: `allowed_origins` of `PUT /v1/settings`",
        "idempotency_key_reused": "use a new idempotency key for another request",
        "invalid_cursor": "begin without a cursor",
        "invalid_fields": "`missing`, `unknown` and `wrong` name the fields; `auth_input_map` describes them",
        "invalid_idempotency_key": "give one, of 1 to 255 visible ASCII characters",
        "invalid_request": "`details` says what is not valid, and where",
        "issuer_refused": "give the server's issuer: an https address that is public, without a query",
        "metadata_not_found": "define the application by hand, or give the issuer as the server itself writes it",
        "metadata_refused": "`details` says what is wrong with what the server says: define the application by hand",
        "not_an_own_application": "give a slug that begins with `own-`; the others are not yours to change",
        "return_url_not_allowed": "name the address, letter by letter: `return_urls` of `PUT /v1/settings`",
        "uninstall_unsupported": "disconnect without `uninstall`",
        "unknown_application": "name applications by their slugs in the catalog",
        "webhook_url_refused": "give an address that resolves and is public",
    },
    429: {"too_many_requests": "wait for `retry-after` seconds"},
    431: {"headers_too_large": "send less"},
    500: {"internal_error": "a defect: its `request_id` is in the service's log"},
    502: {"provider_unreachable": "send it again, after `retry-after` where there is one"},
    503: {
        "codec_key_invalid": "`EVERLINK_CODEC_KEY` of the API and the workers differ: its log names the key",
        "database_unavailable": "send it again",
        "keys_unavailable": "the provider sends its event again: its keys cannot be fetched now",
        "refresh_failed": "the provider does not renew the token now: send it again",
        "still_working": "it goes on by itself: look at the connection, or send it again",
        "temporal_unavailable": "send it again",
        "too_many_waiting": "send it again",
    },
}


def table() -> str:
    """All of them, as Markdown."""
    rows = [
        f"| {status} | `{code}` | {words} |" for status, codes in ERROR_CODES.items() for code, words in codes.items()
    ]
    return "\n".join(["| status | `error_code` | what to do |", "|---|---|---|", *rows])
