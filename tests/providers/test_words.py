"""Durations are said in the words that people use for them."""

from __future__ import annotations

import pytest

from providers.words import duration


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (1.5, "1.5 seconds"),
        (60, "1 minute"),
        (5400, "90 minutes"),
        (12 * 3600, "12 hours"),
        (90 * 86400, "90 days"),
        (13_140 * 3600, "18 months"),
        (365 * 86400, "1 year"),
    ],
)
def test_a_duration_is_said_in_the_largest_unit_that_it_is_a_whole_number_of(seconds: float, words: str) -> None:
    assert duration(seconds) == words
