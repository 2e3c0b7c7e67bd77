"""The conformance test can fail: an entry that is not what its provider does is found, wherever it is wrong."""

from __future__ import annotations

from typing import Any

import pytest

from everlink.contract import ReauthReason
from providers.entry import CatalogEntry
from tests.conformance.life import Life
from tests.conformance.provider import Provider
from tests.conformance.world import World

UNINSTALLED = {"when": {"body.type": "uninstalled"}, "kind": "uninstalled", "match": {"team": "body.team"}}
EVERYTHING: dict[str, Any] = {
    "slug": "everything",
    "name": "Everything",
    "description": "Uses all that the schema has for consent.",
    "auth_type": "oauth2",
    "oauth2": {
        "authorize_url": "https://login.everything.example/authorize?tenant=all",
        "token_url": "https://api.everything.example/token",
        "revoke_url": "https://api.everything.example/revoke",
        "issuer": "https://login.everything.example",
        "client_auth": "post",
        "token_body": "json",
        "scopes": ["read", "write"],
        "scope_separator": ",",
        "authorize_params": {"prompt": "consent"},
        "answer": {
            "access_token": "authed.token",
            "refresh_token": "authed.renew",
            "expires_at": "authed.until",
            "success": {"field": "ok", "code": True},
        },
        "transient": [{"code": "gone", "contains": "try again"}],
        "dead": [{"code": "gone", "reason": "access_revoked"}, {"field": "meta.number", "code": 190}],
        "application_errors": [{"code": "no_such_client"}],
    },
    "probe": {
        "url": "{api_url}/me?full=1",
        "headers": {"Authorization": "Bearer {access_token}"},
        "success": {"field": "ok", "code": True},
        "dead": [{"code": "token_gone", "reason": "access_revoked"}],
    },
    "identity": {"id": "probe.user.id", "name": "probe.user.name", "keys": {"team": "probe.user.team"}},
    "events": {
        "signature": {
            "scheme": "hmac",
            "header": "x-signature",
            "part": "v1",
            "signed": "{timestamp}.{body}",
            "timestamp": {"at": "part.t"},
        },
        "rules": [UNINSTALLED],
        "id": "body.id",
        "occurred_at": {"at": "body.at", "unit": "iso"},
        "setup": "Nowhere.",
        "source": "https://docs.everything.example/events",
    },
}
KEYS: dict[str, Any] = {
    "slug": "keys",
    "name": "Keys",
    "description": "Uses all that the schema has for keys.",
    "auth_type": "keybased",
    "fields": [
        {"name": "site", "label": "Site", "type": "text", "pattern": "[a-z]{3}[0-9]{2}"},
        {"name": "region", "label": "Region", "type": "select", "options": ["eu", "us"]},
        {"name": "api_key", "label": "API key"},
    ],
    "probe": {
        "method": "POST",
        "url": "https://{site}.keys.example/{region}/whoami",
        "headers": {"X-Version": "7"},
        "basic": ["{site}", "{api_key}"],
        "form": {"verbose": "yes"},
        "dead": [{"status": 401}, {"status": 403, "code": "key_gone"}],
    },
    "identity": {"id": "probe.account.id"},
}


@pytest.mark.parametrize("said", [EVERYTHING, KEYS], ids=lambda said: said["slug"])
async def test_entry_that_is_right_lives(world: World, said: dict[str, Any]) -> None:
    entry = CatalogEntry.model_validate(said)
    world.knows(entry)
    await Life(world, Provider(entry)).whole()


@pytest.mark.parametrize(
    ("path", "wrong", "found"),
    [
        ("oauth2.authorize_url", "https://login.everything.example/authorize", "the address of consent|asked with"),
        ("oauth2.issuer", "https://login.other.example", "did not come from the expected server"),
        ("oauth2.pkce", False, "asked with"),
        ("oauth2.scope_separator", " ", "asked with"),
        ("oauth2.authorize_params", {}, "asked with"),
        ("oauth2.token_url", "https://api.everything.example/tokens", "nothing is there"),
        ("oauth2.client_auth", "basic", "the client"),
        ("oauth2.token_body", "form", "the kind of body"),
        ("oauth2.answer.access_token", "access_token", "did not accept the connection"),
        ("oauth2.answer.refresh_token", "refresh_token", "refreshed"),
        ("oauth2.answer.success", {"field": "okay", "code": True}, "did not accept the connection"),
        ("oauth2.transient", [], "try again.*dead"),
        ("oauth2.dead", [{"code": "gone"}], "190.*transient"),
        ("oauth2.dead", [{"code": "gone"}, {"field": "meta.number", "code": 191}], "190.*transient"),
        ("oauth2.application_errors", [{"code": "invalid_client"}], "no_such_client.*transient"),
        ("oauth2.revoke_url", None, "lives on"),
        ("probe.url", "{api_url}/me", "the query"),
        ("probe.headers", {"Authorization": "Token {access_token}"}, "the header Authorization"),
        ("probe.dead", [{"status": 401}], "token_gone.*transient"),
        ("probe.dead", [{"code": "token_gone", "reason": "refresh_token_expired"}], "token_gone"),
        ("identity.id", "probe.user.name", "connected: "),
        ("identity.name", None, "connected: "),
        ("events.signature.signed", "{timestamp}{body}", "refused"),
        ("events.signature.header", "x-sign", "refused"),
        ("events.signature", {"scheme": "hmac", "header": "x-signature", "prefix": "v1="}, "refused"),
        ("events.signature.timestamp.tolerance_seconds", 86400, "stale"),
        ("events.rules", [UNINSTALLED | {"kind": "revoked"}], "access_revoked"),
        ("events.occurred_at", None, "late"),
        ("events.status", 202, "refused"),
    ],
    ids=str,
)
async def test_entry_that_is_wrong_is_found(world: World, path: str, wrong: Any, found: str) -> None:
    world.knows(CatalogEntry.model_validate(changed(EVERYTHING, path, wrong)))
    with pytest.raises(AssertionError, match=f"(?s){found}"):
        await Life(world, Provider(CatalogEntry.model_validate(EVERYTHING))).whole()


@pytest.mark.parametrize(
    ("path", "wrong", "found"),
    [
        ("probe.method", "GET", "nothing is there"),
        ("probe.basic", ["{api_key}", "{site}"], "the user"),
        ("probe.form", {}, "the body"),
        ("probe.dead", [{"status": 401}], "key_gone"),
        ("identity.id", "probe.account", "could not check|connected"),
    ],
    ids=str,
)
async def test_key_entry_that_is_wrong_is_found(world: World, path: str, wrong: Any, found: str) -> None:
    world.knows(CatalogEntry.model_validate(changed(KEYS, path, wrong)))
    with pytest.raises(AssertionError, match=f"(?s){found}"):
        await Life(world, Provider(CatalogEntry.model_validate(KEYS))).whole()


async def test_rule_that_can_never_speak_is_found(world: World) -> None:
    """The rule before it recognizes all that it does."""
    dead = [{"code": "gone"}, {"code": "gone", "contains": "for good", "reason": ReauthReason.REFRESH_TOKEN_EXPIRED}]
    entry = CatalogEntry.model_validate(changed(EVERYTHING, "oauth2.dead", dead))
    world.knows(entry)
    with pytest.raises(AssertionError, match="for good"):
        await Life(world, Provider(entry)).whole()


def changed(said: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    name, _, rest = path.partition(".")
    return {**said, name: changed(said[name], rest, value) if rest else value}
