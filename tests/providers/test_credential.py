"""What a token answer holds beside its tokens: kept within bounds, and never so that none could read it again."""

from __future__ import annotations

import json
from typing import Any

import pytest

from everlink.contract import Verdict
from providers.credential import MAX_EXTRA_BYTES, OAuthCredential, bounded, to_bytes
from providers.entry import OAuth2
from providers.verdict import judge_token_answer
from tests.providers.test_verdict import answer

OAUTH2 = OAuth2(authorize_url="https://a.example/", token_url="https://a.example/t")
BEFORE = OAuthCredential(access_token="a", refresh_token="r", extra={"instance_url": "https://eu.example"}, origin="o")


def nested(depth: int) -> Any:
    return json.loads("[" * depth + "]" * depth)


def test_largest_goes_first_and_what_is_small_stays() -> None:
    large = {"huge": "x" * (MAX_EXTRA_BYTES + 1), "second": "y" * (MAX_EXTRA_BYTES - 1000), "third": "z" * 2000}
    kept = bounded({**large, "instance_url": "https://eu.example", "account": {"id": 7}})
    assert kept == {"third": large["third"], "instance_url": "https://eu.example", "account": {"id": 7}}
    assert bounded({}) == {}


def test_many_small_ones_are_bounded_together() -> None:
    kept = bounded({f"field-{number}": number for number in range(100_000)})
    assert 0 < len(json.dumps(kept)) <= MAX_EXTRA_BYTES


@pytest.mark.parametrize("depth", [*range(180, 210), 5000])
def test_grant_is_kept_however_deep_its_answer_nests(depth: int) -> None:
    """What was written and can never be read again is a lost grant."""
    body = b'{"access_token": "new", "deep": ' + b"[" * depth + b"]" * depth + b"}"
    judged = judge_token_answer(answer(200, body), OAUTH2, BEFORE)
    if judged.verdict is Verdict.OK:
        assert judged.credential is not None
        kept = OAuthCredential.model_validate_json(to_bytes(judged.credential))
        assert (kept.access_token, kept.refresh_token, kept.extra["instance_url"]) == ("new", "r", "https://eu.example")
    else:
        assert depth > 190


def test_answers_pile_up_no_more_than_the_bound_over_many_refreshes() -> None:
    credential = BEFORE
    for number in range(20):
        body = {"access_token": "new", f"field-{number}": "x" * 20_000}
        judged = judge_token_answer(answer(200, body), OAUTH2, credential)
        assert judged.credential is not None
        credential = judged.credential
        assert len(to_bytes(credential)) < MAX_EXTRA_BYTES + 1000
    assert credential.extra["instance_url"] == "https://eu.example" and credential.origin == "o"
