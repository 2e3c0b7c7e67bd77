"""docs/reconnect.md has every code that a page may meet. That its code runs is tried in a browser: tests/e2e."""

from __future__ import annotations

import re

from api.error_codes import ERROR_CODES
from api.routes.sdk import SCRIPT, TYPES
from api.trouble import Trouble
from dev.config import ROOT

PAGE = (ROOT / "docs" / "reconnect.md").read_text()
# Of pages and links that no attempt is known for.
NO_ATTEMPTS = {
    Trouble.LINK_INCOMPLETE,
    Trouble.LINK_USED,
    Trouble.SESSION_LINK_USED,
    Trouble.SESSION_EXPIRED,
    Trouble.FOREIGN_FORM,
    Trouble.FRAME_NOT_ALLOWED,
    Trouble.INVALID_ANSWER,
}


def in_table() -> set[str]:
    rows = re.findall(r"^\| (`[a-z_`, ]+`) \| .+ \| .+ \|$", PAGE.split("| `code` |")[1], re.MULTILINE)
    return {code for row in rows for code in re.findall(r"`([a-z_]+)`", row)}


def of_browser() -> set[str]:
    words = re.search(r"const WORDS = \{(.*?)\};", SCRIPT.decode(), re.DOTALL)
    assert words
    return set(re.findall(r"^    (\w+):", words[1], re.MULTILINE))


def test_every_code_that_a_customer_can_bring_about_is_listed() -> None:
    assert of_browser() | (set(Trouble) - NO_ATTEMPTS) <= in_table()


def test_every_code_that_is_listed_is_one() -> None:
    api = {code for codes in ERROR_CODES.values() for code in codes}
    assert in_table() <= of_browser() | set(Trouble) | api


def test_codes_of_the_types_are_such() -> None:
    typed = re.findall(r"type \w+Code =(.*?);", TYPES.decode(), re.DOTALL)
    assert set(re.findall(r'"(\w+)"', "".join(typed))) - of_browser() <= set(Trouble)
    assert of_browser() <= set(re.findall(r'"(\w+)"', typed[0]))
