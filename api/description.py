"""The OpenAPI description, completed with what holds of every route and is said in no handler."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI

from api.error_codes import table as error_code_table
from api.routes.seed.views import AuthUrl
from everlink.contract import KeyScope
from everlink.models import DeliveryDetails, Token

DESCRIPTION = """
Keeps your customers' connections to other people's software alive, and says so at once when it can't.

Authenticate with `x-api-key`; the key decides organization and environment. A customer's browser shows a session token
(`Authorization: Bearer`) instead, which stands for one linked account. Routes under `/api` are compatible with the
product that Everlink replaces; `/v1` is what that one lacks.

Every error is `{status_code, http_error_type, error_code, message, request_id}`; `error_code` is stable. An id of
another organization or environment is answered like one that never was.

A POST with an `Idempotency-Key` acts once: sent again within a day, it gets the first answer again, with the header
`idempotent-replayed: true`. A GET answers an `ETag`, unless it holds a secret; send it back as `If-None-Match`, and
what is not new is a 304.
"""
ERRORS = f"\n### Error codes\n\n{error_code_table()}\n"

TAGS = {
    "Connections": "One linked account's grant for one application: its state, its history, and a fresh token.",
    "Applications": "The catalog's entries that you have enabled, each with your own client at the provider.",
    "Catalog": "What can be enabled, and applications of your own: defined like the others, seen by nobody else.",
    "Linked accounts": "Your customers, under the ids that you give them.",
    "Webhooks": "Where events go. Deliveries are signed by Standard Webhooks and retried for three days.",
    "Events": "Everything that webhooks announce, in order: read on from where you stood, for as long as you like.",
    "API keys": "Keys of one organization's environment: scopes, expiry, rotation with two live keys.",
    "Session tokens": "A browser's right to act for one linked account, for a while.",
    "Connect sessions": "Links to the page where a customer connects and reconnects, in your colours.",
    "Connect attempts": "A customer on the way to a provider and back, for your page: what `everlink.js` is made of.",
    "Settings": "What an organization decides for one of its environments.",
    "Removals": "Taking an application, a linked account or everything away, and what is exported before.",
    "Seed API": "Compatible with the product that Everlink replaces, for your server.",
    "Browser SDK": "Compatible with the browser SDK of that product; pages of allowed origins may call it.",
}

SCOPES = {
    KeyScope.READ: "everything but credentials",
    KeyScope.CONNECT: "take customers through connecting, reconnecting and disconnecting",
    KeyScope.TOKENS: "credentials in the clear",
    KeyScope.ADMIN: "applications, the catalog, webhook endpoints, API keys, settings; export and erase",
}

WORDS = {
    400: "No linked account is named, or the request does not fit the application",
    401: "The API key or session token is missing or not valid",
    403: "The API key lacks the scope, or the page's origin is not allowed",
    404: "There is no such thing here",
    409: "It is not in a state for this, or a request with the same idempotency key is under way",
    413: "The body is too large",
    422: "The request is not valid, or the idempotency key was used for another one",
    429: "Too many requests; `retry-after` says when to come back",
    431: "The address and headers are too large",
    502: "The provider cannot be reached",
    503: "The database or Temporal cannot be reached; try again",
}
ERROR = {"application/json": {"schema": {"$ref": "#/components/schemas/ErrorBody"}}}

NEVER_KEPT = {one.__name__ for one in (Token, AuthUrl, DeliveryDetails)}  # answers with `cache-control: no-store`

IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Sent again with the same key, the request acts once and gets the first answer again",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
}
IF_NONE_MATCH = {
    "name": "If-None-Match",
    "in": "header",
    "required": False,
    "description": "The `ETag` of the answer that you have",
    "schema": {"type": "string"},
}


class DescribedApi(FastAPI):
    """An application whose description is complete."""

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is not None:
            return self.openapi_schema
        schema = super().openapi()
        used = {tag for _, operation in _operations(schema) for tag in operation["tags"]}
        schema["tags"] = [{"name": name, "description": words} for name, words in TAGS.items() if name in used]
        scopes = "; ".join(f"`{scope}`: {words}" for scope, words in SCOPES.items())
        schema["components"]["securitySchemes"]["ApiKey"]["description"] += f" Its scopes: {scopes}."
        for method, operation in _operations(schema):
            _complete(method, operation)
        return schema


def _operations(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for methods in schema["paths"].values():
        yield from methods.items()


def _complete(method: str, operation: dict[str, Any]) -> None:
    parameters, responses = operation.setdefault("parameters", []), operation["responses"]
    for status in sorted(_refusals(method, operation)):
        responses.setdefault(str(status), {"description": WORDS[status], "content": ERROR})
    for status, response in responses.items():
        if status.startswith(("4", "5")):
            response["description"] = WORDS[int(status)]
    if method == "post":
        parameters.append(IDEMPOTENCY_KEY)
    if method == "get" and _may_be_kept(operation):
        parameters.append(IF_NONE_MATCH)
        responses["304"] = {"description": "It is what you have"}


def _refusals(method: str, operation: dict[str, Any]) -> set[int]:
    """What a route may answer by what it takes, whatever its handler does."""
    found = {422, 429, 431, 503}
    names = {(one["in"], one["name"]) for one in operation["parameters"]}
    if "security" in operation:
        found |= {401, 403}
    if "requestBody" in operation:
        found.add(413)
    if method == "post":
        found.add(409)
    if ("header", "linked_account_id") in names:
        found |= {400, 404}
    if any(place == "path" for place, _ in names):
        found.add(404)
    return found


def _may_be_kept(operation: dict[str, Any]) -> bool:
    """JSON, and no secret in it."""
    answer = operation["responses"]["200"].get("content", {}).get("application/json")
    return answer is not None and answer["schema"].get("$ref", "").rpartition("/")[2] not in NEVER_KEPT
