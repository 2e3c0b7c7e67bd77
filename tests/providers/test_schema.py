"""The schema that editors check catalog files by: it is current, says what values mean, and fits every file."""

from __future__ import annotations

import json
from typing import Any

import jsonschema_rs
import pytest
import yaml

from dev.catalog_schema import FILE, text
from dev.config import ROOT
from providers.catalog import BUILT_IN

FILES = sorted([*BUILT_IN.glob("*.yaml"), *(ROOT / "sandbox" / "catalog").glob("*.yaml")])
DESCRIBED = ("OAuth2", "Request", "Probe", "Identity", "KeyField", "Limits", "AnswerRule", "DeadRule", "TokenAnswer")


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return found


@pytest.fixture(scope="module")
def editor(schema: dict[str, Any]) -> Any:
    return jsonschema_rs.validator_for(schema)


def test_schema_is_of_today() -> None:
    assert FILE.read_text(encoding="utf-8") == text(), "make schema"


def test_every_value_is_described(schema: dict[str, Any]) -> None:
    for name in ("", *DESCRIBED):
        part = schema["$defs"][name] if name else schema
        assert part["properties"] and part["additionalProperties"] is False
        assert [field for field, about in part["properties"].items() if not about.get("description")] == [], name


def test_description_is_the_comment_beside_a_value_or_above_it(schema: dict[str, Any]) -> None:
    oauth2, probe = schema["$defs"]["OAuth2"]["properties"], schema["$defs"]["Probe"]["properties"]
    assert oauth2["revoke_url"]["description"] == "RFC 7009"
    assert oauth2["dead"]["description"] == "The grant is gone, and the customer has to reconnect."
    assert probe["url"]["description"] == "where the request goes"  # of what it is made of


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_no_file_that_is_read_is_called_wrong(editor: Any, file: Any) -> None:
    assert [str(error) for error in editor.iter_errors(yaml.safe_load(file.read_text(encoding="utf-8")))] == []


@pytest.mark.parametrize(
    "change", [{"auth_type": "magic"}, {"colour": "red"}, {"slug": "A"}, {"limits": {"x": 1}}], ids=str
)
def test_what_the_service_refuses_an_editor_marks(editor: Any, change: dict[str, Any]) -> None:
    entry = yaml.safe_load((ROOT / "sandbox" / "catalog" / "sandbox-key.yaml").read_text())
    assert editor.is_valid(entry) and not editor.is_valid({**entry, **change})
