"""What a failure tells a workflow, of this release or another."""

from __future__ import annotations

import pytest
from temporalio.exceptions import ApplicationError

from everlink.plugin.details import SHOWN, above, line
from everlink.plugin.failures import FAILURE_TYPE, DeadConnection
from tests.plugin.world import SINCE, dead


def test_a_failure_tells_what_it_was_made_of() -> None:
    one = dead("con_one", endpoint="everlink", at_most=60)
    assert DeadConnection.of(one.failure()) == one


@pytest.mark.parametrize(
    "error",
    [
        ApplicationError("theirs", type=FAILURE_TYPE),
        ApplicationError("theirs", {"user": 1}, type=FAILURE_TYPE),
        ApplicationError("theirs", "text", type=FAILURE_TYPE),
        ApplicationError("theirs", dead("con_one").model_dump(mode="json"), type="Other"),
        ValueError("theirs"),
    ],
)
def test_a_failure_of_somebody_else_is_not_ours(error: Exception) -> None:
    assert DeadConnection.of(error) is None


def test_what_a_later_release_tells_is_understood_as_far_as_it_is_known() -> None:
    told = {**dead("con_one").model_dump(mode="json"), "reason": "eaten_by_the_dog", "more": 1}
    found = DeadConnection.of(ApplicationError("words", told, type=FAILURE_TYPE))
    assert found == dead("con_one").model_copy(update={"reason": None})


def test_where_nothing_is_known_the_id_is_told() -> None:
    unknown = dead("con_one").model_copy(update={"application": "", "linked_account_id": "", "reason": None})
    assert line(unknown, SINCE, None) == "Waiting for connection con_one to be reconnected since 2026-11-30 07:00 UTC"


def test_a_page_shows_some_of_many() -> None:
    shown = above("theirs", [f"line {number}" for number in range(SHOWN + 3)]).split("\n\n")
    assert shown[-2:] == ["... and 3 more", "theirs"] and len(shown) == SHOWN + 2
    assert above("theirs", []) == "theirs"
    assert above("", ["one"]) == "one"


def test_a_customers_name_is_no_link_in_a_page() -> None:
    named = dead("con_one").model_copy(update={"linked_account_id": "[Click](https://evil.example)"})
    assert line(named, SINCE, None).startswith("Waiting for `[Click](https://evil.example)`'s ")
