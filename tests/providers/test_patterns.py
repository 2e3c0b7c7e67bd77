"""Regular expressions of a catalog entry: none of them takes long, whoever wrote it."""

from __future__ import annotations

import time

import pytest
from pydantic import ValidationError

from providers.entry import KeyField
from providers.patterns import MAX_PATTERN, MAX_TEXT, check, matches


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("sk_[0-9]+", "sk_7", True),
        ("sk_[0-9]+", "sk_7\n", False),
        ("sk_[0-9]+", "a sk_7", False),
        ("a|b", "ab", False),
        ("(?i)acme", "ACME", True),
        (".*", "x" * (MAX_TEXT + 1), False),
    ],
)
def test_pattern_is_of_a_whole_value(pattern: str, text: str, expected: bool) -> None:
    assert matches(check(pattern), text) is expected


@pytest.mark.parametrize(
    "pattern", ["(", "a)|(?:b", r"(a)\1", "(?=a)b", "(?x)a #", "((a{0,100}){0,100}){0,100}", r"\w{1,1000}b"], ids=str
)
def test_what_only_a_slow_engine_could_match_is_refused(pattern: str) -> None:
    with pytest.raises(
        ValueError, match="^not a regular expression without look-around and back-references, or too large$"
    ):
        check(pattern)


@pytest.mark.parametrize(
    "pattern", ["(a+)+b", "(a|aa)+b", "(a|a?)+b", "a*" * 200 + "b", "(.*){1000}b", "(?:.*a)" * 60, "(a{1,100}){1,10}b"]
)
def test_catastrophic_pattern_is_matched_at_once(pattern: str) -> None:
    """A backtracking engine would need longer than the world is old for most of these."""
    check(pattern)
    begun = time.process_time()
    assert not matches(pattern, "a" * (MAX_TEXT - 1) + "!")
    assert time.process_time() - begun < 1


def test_field_takes_what_its_options_and_its_pattern_say() -> None:
    field = KeyField(name="site", label="Site", type="select", options=("eu", "us"))
    assert field.takes("eu") and not field.takes("asia")
    assert not KeyField(name="key", label="Key", pattern="sk_.+").takes("pk_1")
    with pytest.raises(ValidationError):
        KeyField(name="key", label="Key", pattern="a" * (MAX_PATTERN + 1))
