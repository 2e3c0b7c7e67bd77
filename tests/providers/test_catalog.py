"""What is known of applications is checked when it is read, and a fault is named by its file."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from dev.config import ROOT
from everlink.contract import AuthType
from providers.catalog import BUILT_IN, Catalog, CatalogError

SANDBOX = ROOT / "sandbox" / "catalog"
FILES = sorted(BUILT_IN.glob("*.yaml")) + sorted(SANDBOX.glob("*.yaml"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_file_is_valid_and_its_application_complete(file: Path) -> None:
    entry = Catalog.load(SANDBOX).get(file.stem)
    assert entry is not None
    assert (entry.oauth2 is not None) == (entry.auth_type is AuthType.OAUTH2)
    assert bool(entry.fields) == (entry.auth_type is AuthType.KEY_BASED)
    assert entry.probe is not None and entry.probe.identifier is not None  # else accounts cannot be told apart


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("sandbox.yaml", {"colour": "red"}),
        ("sandbox.yaml", {"oauth2": None}),
        ("sandbox.yaml", {"slug": "another"}),
        ("sandbox.yaml", {"auth_type": "magic"}),
        ("sandbox.yaml", {"oauth2": {"token_url": "https://a.example/token"}}),
        ("sandbox.yaml", {"oauth2": {"authorize_url": "https://a/", "token_url": "https://a/", "client_auth": "jwt"}}),
        ("sandbox.yaml", {"probe": {"url": "https://a/", "headers": [{"name": "x", "value": "y", "secret": "z"}]}}),
        ("sandbox.yaml", {"slug": "Sandbox"}),
        ("sandbox.yaml", {"slug": None}),
        ("sandbox-key.yaml", {"fields": []}),
        ("sandbox-key.yaml", {"probe": {"url": "http://x/", "dead": [{"reason": "access_revoked"}]}}),  # any answer
        ("sandbox-key.yaml", {"probe": {"url": "http://x/", "dead": [{"reason": "bored"}]}}),
    ],
    ids=str,
)
def test_invalid_catalog_file_is_refused_by_its_name(tmp_path: Path, name: str, change: dict[str, object]) -> None:
    entry = yaml.safe_load((SANDBOX / name).read_text())
    (tmp_path / name).write_text(yaml.safe_dump({**entry, **change}))
    with pytest.raises(CatalogError, match=name):
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


def test_lifetimes_hold_what_the_entry_says() -> None:
    catalog = Catalog.load(SANDBOX)
    key, oauth2 = catalog.get("sandbox-key"), catalog.get("sandbox")
    assert key is not None and oauth2 is not None
    assert key.lifetimes(renewable=False, expires_in=None).probe_every == 15.0
    lifetimes = oauth2.lifetimes(renewable=True, expires_in=60.0)
    assert (lifetimes.renewable, lifetimes.expires_in, lifetimes.probe_every) == (True, 60.0, None)
