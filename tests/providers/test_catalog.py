"""What is known of applications is checked when it is read, and a fault is named by its file."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree

import httpx
import pytest
import yaml

from dev.config import ROOT
from everlink.contract import Verdict
from providers.catalog import BUILT_IN, Catalog, CatalogError
from providers.entry import OAuth2
from providers.http import Answer
from providers.rules import AnswerRule, DeadRule, TokenAnswer
from providers.verdict import judge_token_answer

SANDBOX = ROOT / "sandbox" / "catalog"
# A wrong one of these loses a grant, or lets it die unannounced.
SOURCED = {"access_token_seconds", "grant_seconds", "idle_seconds", "reuse_grace_seconds", "rotates"}
SITE = {"name": "site", "label": "Site", "type": "text"}
ENDPOINTS = {"authorize_url": "https://a.example/authorize", "token_url": "https://a.example/token"}
CATALOG = Catalog.load(SANDBOX)
FILES = sorted(BUILT_IN.glob("*.yaml")) + sorted(SANDBOX.glob("*.yaml"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_file_is_valid_and_its_application_complete(file: Path) -> None:
    entry = CATALOG.get(file.stem)
    assert entry is not None and entry.name and entry.tags


@pytest.mark.parametrize("file", sorted(BUILT_IN.glob("*.yaml")), ids=lambda file: file.stem)
def test_built_in_application_says_where_its_rules_are_from(file: Path) -> None:
    entry = CATALOG.get(file.stem)
    assert entry is not None and entry.sources
    rules: list[AnswerRule] = []
    if entry.oauth2 is not None:
        rules += [*entry.oauth2.transient, *entry.oauth2.dead, *entry.oauth2.application_errors]
        urls = (entry.oauth2.authorize_url or "https://", *entry.oauth2.endpoints)
        assert all(url.startswith("https://") for url in urls)
        assert set(entry.oauth2.sources) >= SOURCED & entry.oauth2.model_fields_set
    if entry.probe is not None:
        rules += entry.probe.dead
        assert entry.probe.url.startswith(("https://", "{"))
    assert all(rule.source for rule in rules)
    kind, _, image = entry.icon.partition(",")
    assert kind == "data:image/svg+xml"
    assert ElementTree.fromstring(unquote(image)).tag == "{http://www.w3.org/2000/svg}svg"


@pytest.mark.parametrize(
    ("code", "value", "matches"),
    [
        (190, 190, True),  # Meta's, in either shape
        ("190", 190, True),
        (190, "190", True),
        (190, 190.5, False),
        (1, True, False),
        (1, 1, True),
        (True, True, True),
        (True, 1, False),
        (False, 0, False),
        (False, False, True),
        (190, [[190]], False),
        (190, [7, 190], True),
        (190, None, False),
        ("None", None, False),
    ],
)
def test_code_is_compared_as_text_and_truth_is_no_number(code: object, value: object, matches: bool) -> None:
    rule = DeadRule.model_validate({"field": "error.code", "code": code})
    oauth2 = OAuth2(authorize_url="https://a.example/", token_url="https://a.example/t", dead=(rule,))
    answer = Answer(400, httpx.Headers(), json.dumps({"error": {"code": value}}).encode())
    assert (judge_token_answer(answer, oauth2, None).verdict is Verdict.DEAD) is matches


def test_rule_that_names_a_status_is_looked_for_there_alone() -> None:
    rule = DeadRule(status=500, code="invalid_grant")
    oauth2 = OAuth2(authorize_url="https://a.example/", token_url="https://a.example/t", dead=(rule,))
    for status, verdict in ((500, Verdict.DEAD), (400, Verdict.TRANSIENT), (503, Verdict.TRANSIENT)):
        answer = Answer(status, httpx.Headers(), b'{"error": "invalid_grant"}')
        assert judge_token_answer(answer, oauth2, None).verdict is verdict


def test_token_answer_of_another_shape_is_read_where_the_entry_says() -> None:
    places = TokenAnswer(access_token="data.token", refresh_token="data.renew", expires_in="data.ttl", scope="granted")
    oauth2 = OAuth2(authorize_url="https://a.example/", token_url="https://a.example/t", answer=places)
    body = b'{"data": {"token": "a", "renew": "r", "ttl": 60}, "granted": "read", "account": 7}'
    judged = judge_token_answer(Answer(200, httpx.Headers(), body), oauth2, None)
    assert judged.credential is not None and judged.expires_in == 60
    assert (judged.credential.access_token, judged.credential.refresh_token) == ("a", "r")
    assert (judged.credential.scope, judged.credential.extra["account"]) == ("read", 7)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("sandbox.yaml", {"colour": "red"}),
        ("sandbox.yaml", {"oauth2": None}),
        ("sandbox.yaml", {"slug": "another"}),
        ("sandbox.yaml", {"auth_type": "magic"}),
        ("sandbox.yaml", {"oauth2": {"token_url": "https://a.example/token"}}),
        ("sandbox.yaml", {"oauth2": {"authorize_url": "https://a/", "token_url": "https://a/", "client_auth": "jwt"}}),
        ("sandbox.yaml", {"probe": {"url": "https://a/", "headers": ["x"]}}),
        ("sandbox.yaml", {"slug": "Sandbox"}),
        ("sandbox.yaml", {"slug": None}),
        ("sandbox.yaml", {"limits": {"concurrency": 0}}),
        ("sandbox.yaml", {"limits": {"per_second": 0}}),
        ("sandbox.yaml", {"oauth2": {"authorize_url": "https://a/", "token_url": "https://a/", "idle_seconds": -1}}),
        *(
            ("sandbox.yaml", {"oauth2": {**ENDPOINTS, "authorize_params": {"prompt": "consent", name: "x"}}})
            for name in ("state", "redirect_uri", "client_id", "response_type", "code_challenge", "request_uri")
        ),
        ("sandbox.yaml", {"oauth2": {**ENDPOINTS, "authorize_params": {"code_challenge_method": "plain"}}}),
        ("sandbox.yaml", {"oauth2": {**ENDPOINTS, "authorize_url": "https://a.example/?prompt=x&state="}}),
        ("sandbox-key.yaml", {"fields": []}),
        ("sandbox-key.yaml", {"fields": [{"name": "site", "label": "Site", "type": "select"}]}),
        ("sandbox-key.yaml", {"fields": [{"name": "site", "label": "Site", "options": ["eu", "us"]}]}),
        ("sandbox-key.yaml", {"probe": {"url": "http://x/", "dead": [{"reason": "access_revoked"}]}}),  # any answer
        ("sandbox-key.yaml", {"probe": {"url": "http://x/", "dead": [{"reason": "bored"}]}}),
        ("sandbox-key.yaml", {"probe": {"url": "http://x/{other}"}, "identity": None}),
        ("sandbox-key.yaml", {"probe": {"url": "http://x/", "form": {"a": "b"}, "body": {"a": "b"}}}),
        ("sandbox-key.yaml", {"probe": {"url": "ftp://x/"}}),
        ("sandbox-key.yaml", {"probe": {"url": "http://user@x/"}}),
        ("sandbox-key.yaml", {"probe": None}),  # and an identity that reads its answer
        ("sandbox-key.yaml", {"identity": {"id": "token.sub"}}),
        ("sandbox-key.yaml", {"identity": {"id": "email"}}),
        ("sandbox-key.yaml", {"identity": {"id": "probe.email", "keys": {"account": "probe.id"}}}),
        ("sandbox-key.yaml", {"fields": [{"name": "api_key", "label": "Key", "pattern": "("}]}),
        ("sandbox-key.yaml", {"fields": [{"name": "api_key", "label": "Key"}] * 2}),
        ("sandbox-key.yaml", {"oauth2": {"grant": "client_credentials", "token_url": "https://a.example/"}}),
        ("sandbox-key.yaml", {"oauth2": ENDPOINTS}),
        ("sandbox.yaml", {"oauth2": {**ENDPOINTS, "token_url": "https://{site}.a.example/"}}),  # no such field
        *(
            ("sandbox.yaml", {"fields": [SITE], "oauth2": {**ENDPOINTS, name: url}})
            for name in ("token_url", "refresh_url", "revoke_url", "introspect_url")
            for url in ("https://{site}/token", "https://a.{site}/token", "{site}/token", "https://{site}.com/token")
        ),
        ("sandbox.yaml", {"fields": [SITE], "oauth2": {**ENDPOINTS, "revoke": {"url": "https://{site}:9/"}}}),
        ("sandbox.yaml", {"fields": [{**SITE, "name": "client_secret"}]}),
        ("sandbox.yaml", {"oauth2": {**ENDPOINTS, "revoke_url": "https://a/", "revoke": {"url": "https://a/"}}}),
        ("sandbox.yaml", {"oauth2": {**ENDPOINTS, "token_params": {"grant_type": "password"}}}),
        ("sandbox.yaml", {"oauth2": {**ENDPOINTS, "token_params": {"code": "x"}}}),
        ("sandbox.yaml", {"oauth2": {**ENDPOINTS, "client_id_param": "key", "authorize_params": {"key": "x"}}}),
        ("sandbox.yaml", {"oauth2": {**ENDPOINTS, "sources": {"colour": "https://a.example/"}}}),
    ],
    ids=str,
)
def test_invalid_catalog_file_is_refused_by_its_name(tmp_path: Path, name: str, change: dict[str, object]) -> None:
    entry = yaml.safe_load((SANDBOX / name).read_text())
    (tmp_path / name).write_text(yaml.safe_dump({**entry, **change}))
    with pytest.raises(CatalogError, match=name):
        Catalog.load(tmp_path)


def test_slug_of_an_organization_s_own_application_is_no_file_s(tmp_path: Path) -> None:
    text = (SANDBOX / "sandbox-key.yaml").read_text().replace("slug: sandbox-key", "slug: own-key")
    (tmp_path / "own-key.yaml").write_text(text)
    with pytest.raises(CatalogError, match="own-key.yaml"):
        Catalog.load(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[1, 2]",
        b"slug: [",
        b"slug: \xff\xfe",
        b"a: &a [*a]",
        b"version: 2024-13-45",  # a date to YAML, and none
        b"status: 0b_",
        b"[" * 20_000,
    ],
    ids=lambda content: ascii(content[:20]),
)
def test_file_that_holds_no_entry_is_refused_by_its_name(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "broken.yaml").write_bytes(content)
    with pytest.raises(CatalogError, match=r"broken\.yaml"):
        Catalog.load(tmp_path)


def test_folder_in_the_place_of_a_file_is_refused_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "folder.yaml").mkdir()
    with pytest.raises(CatalogError, match=r"folder\.yaml"):
        Catalog.load(tmp_path)


def test_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="absent"):
        Catalog.load(tmp_path / "absent")


def test_unknown_application_is_none() -> None:
    assert Catalog.load(SANDBOX).get("nothing") is None


def test_what_a_folder_of_ones_own_says_is_no_built_in_knowledge(tmp_path: Path) -> None:
    slack = yaml.safe_load((BUILT_IN / "slack.yaml").read_text())
    (tmp_path / "slack.yaml").write_text(yaml.safe_dump({**slack, "name": "Our own"}))
    (tmp_path / "sandbox.yaml").write_text((SANDBOX / "sandbox.yaml").read_text())
    catalog = Catalog.load(tmp_path)
    ours, everybodys = catalog.get("slack"), catalog.built_in("slack")
    assert ours is not None and everybodys is not None
    assert (ours.name, everybodys.name) == ("Our own", "Slack")
    assert catalog.get("sandbox") is not None and catalog.built_in("sandbox") is None


def test_lifetimes_hold_what_the_entry_says() -> None:
    catalog = Catalog.load(SANDBOX)
    key, oauth2 = catalog.get("sandbox-key"), catalog.get("sandbox")
    assert key is not None and oauth2 is not None
    assert key.lifetimes(renewable=False, expires_in=None).probe_every == 15.0
    lifetimes = oauth2.lifetimes(renewable=True, expires_in=60.0)
    assert (lifetimes.renewable, lifetimes.expires_in, lifetimes.probe_every) == (True, 60.0, None)
    atlassian = catalog.get("atlassian")
    assert atlassian is not None
    lifetimes = atlassian.lifetimes(renewable=True, expires_in=60.0, ends_in=86400.0)
    assert (lifetimes.ends_in, lifetimes.idle_window) == (86400.0, 90 * 86400.0)
    assert atlassian.lifetimes(renewable=False, expires_in=60.0).idle_window is None  # nothing that could idle


async def test_only_an_own_application_is_looked_up_outside_of_memory(caplog: pytest.LogCaptureFixture) -> None:
    key = yaml.safe_load((SANDBOX / "sandbox-key.yaml").read_text())
    saved = {name: value for name, value in key.items() if name != "slug"}
    asked: list[str] = []

    async def own(slug: str) -> dict[str, object] | None:
        asked.append(slug)
        return {"own-one": saved, "own-old": {"name": "planted"}}.get(slug)

    catalog = Catalog.load()
    assert await catalog.find("slack", own) is catalog.get("slack") and await catalog.find("nobody", own) is None
    assert asked == []
    found = await catalog.find("own-one", own)
    assert found is not None and (found.slug, found.name) == ("own-one", key["name"])
    assert await catalog.find("own-nobody", own) is None
    assert await catalog.find("own-old", own) is None  # saved under another schema
    assert "own-old" in caplog.text and "planted" not in caplog.text
