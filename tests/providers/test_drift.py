"""Addresses of the catalog beside those that two libraries have: social-auth-core and django-allauth.

Both are read as text, for importing allauth takes a Django project. An address that neither has is a reason to look at
what the provider's documentation says now, which then stands here.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from providers.catalog import Catalog
from providers.entry import CatalogEntry

KINDS = {
    "AUTHORIZATION_URL": "authorize",
    "ACCESS_TOKEN_URL": "token",
    "REVOKE_TOKEN_URL": "revoke",
    "authorize_url": "authorize",
    "access_token_url": "token",
}
# Where a library's name for an application is another one than ours.
NAMES = {
    "bitbucket": "bitbucket_oauth2",
    "clio": "goclio",
    "digitalocean_oauth": "digitalocean",
    "github_oauth_app": "github",
    "klaviyo_oauth": "klaviyo",
    "linkedin": "linkedin_oauth2",
    "stripe_connect": "stripe",
    "vimeo": "vimeo_oauth2",
    "x": "twitter_oauth2",
}
# Why ours is right where neither library has it, with where that is written down.
REASONS = {
    ("box", "revoke"): "the API's host, as for tokens: https://developer.box.com/guides/authentication/tokens/revoke",
    (
        "clio",
        "authorize",
    ): "app.clio.com by now, and hosts of other regions: https://docs.developers.clio.com/api-docs/authorization/",
    (
        "clio",
        "token",
    ): "app.clio.com by now, and hosts of other regions: https://docs.developers.clio.com/api-docs/authorization/",
    ("discord", "authorize"): "documented without /api: https://docs.discord.com/developers/topics/oauth2",
    (
        "facebook",
        "authorize",
    ): "the libraries fill a version in: https://developers.facebook.com/docs/graph-api/guides/versioning",
    (
        "facebook",
        "token",
    ): "the libraries fill a version in: https://developers.facebook.com/docs/graph-api/guides/versioning",
    (
        "facebook",
        "revoke",
    ): "/me in place of an id: https://developers.facebook.com/docs/facebook-login/guides/permissions/request-revoke",
    ("figma", "token"): "moved to the API's host: https://developers.figma.com/docs/rest-api/authentication/",
    ("google", "authorize"): "the present ones: https://accounts.google.com/.well-known/openid-configuration",
    ("google", "token"): "the present ones: https://accounts.google.com/.well-known/openid-configuration",
    ("google", "revoke"): "the present ones: https://accounts.google.com/.well-known/openid-configuration",
    (
        "hubspot",
        "token",
    ): "v1 in a dated version: https://developers.hubspot.com/docs/api-reference/2026-03/authentication/oauth-tokens/refresh-oauth-token.md",
    ("patreon", "revoke"): "no revocation is documented: https://docs.patreon.com/",
    ("podio", "token"): "the second version, on the API's host: https://developers.podio.com/authentication",
    (
        "slack",
        "authorize",
    ): "the libraries log people in; this installs an app: https://docs.slack.dev/authentication/installing-with-oauth",
    (
        "slack",
        "token",
    ): "the libraries log people in; this installs an app: https://docs.slack.dev/authentication/installing-with-oauth",
    (
        "snapchat",
        "authorize",
    ): "of the marketing API, not of Login Kit: https://developers.snap.com/api/marketing-api/Ads-API/authentication",
    (
        "snapchat",
        "token",
    ): "of the marketing API, not of Login Kit: https://developers.snap.com/api/marketing-api/Ads-API/authentication",
}
CATALOG = [entry for entry in Catalog.load() if entry.oauth2 is not None and entry.oauth2.authorize_url is not None]


def folder(package: str) -> Path:
    found = find_spec(package)
    assert found is not None and found.submodule_search_locations is not None
    return Path(next(iter(found.submodule_search_locations)))


SOCIAL, ALLAUTH = folder("social_core") / "backends", folder("allauth") / "socialaccount" / "providers"


def theirs(slug: str) -> dict[str, set[str]]:
    """The addresses that the libraries have for an application, by kind."""
    found: dict[str, set[str]] = {}
    for name in {slug, NAMES.get(slug, slug)}:
        for file in (SOCIAL / f"{name}.py", ALLAUTH / name / "views.py"):
            for kind, url in addresses(file.read_text()) if file.exists() else ():
                found.setdefault(kind, set()).add(plain(url))
    return found


def addresses(source: str) -> Iterator[tuple[str, str]]:
    """The class attributes that are addresses, as far as they are written out."""
    module = ast.parse(source)
    known = dict(texts(module.body, {}))
    for node in ast.walk(module):
        if isinstance(node, ast.ClassDef):
            for name, text in texts(node.body, known):
                if name in KINDS:
                    yield KINDS[name], text


def texts(body: list[ast.stmt], known: dict[str, str]) -> Iterator[tuple[str, str]]:
    known = dict(known)
    for one in body:
        if isinstance(one, ast.Assign) and isinstance(one.targets[0], ast.Name):
            text = written(one.value, known)
            if text is not None:
                known[one.targets[0].id] = text
                yield one.targets[0].id, text


def written(node: ast.expr, known: dict[str, str]) -> str | None:
    """A text that is written out, or put together of such."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.Name):
        return known.get(node.id)
    if isinstance(node, ast.JoinedStr):
        values = [one.value if isinstance(one, ast.FormattedValue) else one for one in node.values]
    elif isinstance(node, ast.BinOp):
        values = [node.left, node.right]
    else:
        return None
    parts = [written(one, known) for one in values]
    return "".join(part for part in parts if part is not None) if None not in parts else None


def ours(entry: CatalogEntry) -> dict[str, str | None]:
    oauth2 = entry.oauth2
    assert oauth2 is not None and oauth2.authorize_url is not None
    revoke = oauth2.revoke_url or (oauth2.revoke.url if oauth2.revoke else None)
    return {"authorize": oauth2.authorize_url, "token": oauth2.token_url, "revoke": revoke}


def plain(url: str) -> str:
    return url.partition("?")[0].rstrip("/")


def drift(entry: CatalogEntry) -> dict[str, tuple[str | None, set[str]]]:
    """What of ours neither library has, beside what they have."""
    said = ours(entry)
    return {
        kind: (said[kind], known)
        for kind, known in theirs(entry.slug).items()
        if said[kind] is None or plain(said[kind] or "") not in known
    }


@pytest.mark.parametrize("entry", CATALOG, ids=lambda entry: entry.slug)
def test_address_that_no_library_has_is_explained(entry: CatalogEntry) -> None:
    unexplained = {kind: one for kind, one in drift(entry).items() if (entry.slug, kind) not in REASONS}
    assert not unexplained


def test_explanations_are_needed() -> None:
    different = {(entry.slug, kind) for entry in CATALOG for kind in drift(entry)}
    assert set(REASONS) - different == set()


def test_many_are_compared_and_a_wrong_one_is_seen() -> None:
    compared = [entry for entry in CATALOG if theirs(entry.slug)]
    assert len(compared) >= 30
    asana = next(entry for entry in CATALOG if entry.slug == "asana")
    assert asana.oauth2 is not None and drift(asana) == {}
    moved = asana.oauth2.model_copy(update={"token_url": "https://app.asana.com/oauth/token"})
    assert set(drift(asana.model_copy(update={"oauth2": moved}))) == {"token"}
