"""What customers read: the same in every language, in no file but those, and in the language that they want."""

from __future__ import annotations

import ast
import re
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path

import pytest

from api.cards import Cards
from api.html import PAGES
from api.trouble import Trouble
from api.wording import ENGLISH, Words, languages, texts
from everlink.contract import ReauthReason

ROOT = Path(__file__).parent.parent.parent
CODE = [*(ROOT / "api").glob("*.py"), *(ROOT / "api" / "routes").glob("*.py")]
NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
EXPRESSION = re.compile(r"{%.*?%}|{{.*?}}|{#.*?#}", re.DOTALL)
READ = ("alt", "aria-label", "title", "placeholder")


def places(text: str) -> set[str]:
    return set(re.findall(r"{(\w+)}", text))


@pytest.mark.parametrize("language", sorted({*languages()} - {ENGLISH}))
def test_languages_have_the_same_keys_and_places(language: str) -> None:
    english, other = texts("en"), texts(language)
    assert other.keys() == english.keys()
    assert {key: places(text) for key, text in other.items()} == {key: places(text) for key, text in english.items()}
    assert [key for key, text in other.items() if text == english[key]] == []


def test_there_are_three_languages_at_least() -> None:
    assert {"ar", "de", "en"} <= {*languages()}


def test_every_trouble_and_every_reason_has_words() -> None:
    assert {f"trouble.{one}" for one in Trouble} == {key for key in texts("en") if key.startswith("trouble.")}
    assert {f"reason.{one}" for one in [*ReauthReason, "unknown"]} == {
        key for key in texts("en") if key.startswith("reason.")
    }


class Texts(HTMLParser):
    """What of a page somebody reads."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._in_style = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._in_style = tag == "style"
        self.found += [value or "" for name, value in attrs if name in READ]

    def handle_data(self, data: str) -> None:
        if not self._in_style:
            self.found.append(data)


@pytest.mark.parametrize("template", [file.name for file in PAGES.glob("*.html")])
def test_no_page_has_a_text_of_its_own(template: str) -> None:
    parser = Texts()
    parser.feed(EXPRESSION.sub("", (PAGES / template).read_text()))
    assert [text for text in parser.found if re.search(r"[^\W\d_]", text)] == []


@pytest.mark.parametrize("name", [file.name for file in PAGES.glob("*.js")])
def test_script_has_no_text_of_its_own(name: str) -> None:
    script = re.sub(r"//.*", "", (PAGES / name).read_text())
    assert [
        text for text in re.findall(r"\"([^\"]*)\"|'([^']*)'", script) if re.search(r"[A-Z].* ", "".join(text))
    ] == []


def test_code_of_the_pages_names_texts_that_there_are() -> None:
    named = set()
    for file in [*CODE, *PAGES.glob("*.html")]:
        named |= set(re.findall(r"words(?:\.marked)?\(\"([a-z_.]+)\"", file.read_text()))
    groups = {name for name in named if name.endswith(".")}  # the rest follows in the code
    assert {group.removesuffix(".") for group in groups} <= {key.split(".")[0] for key in texts("en")}
    assert named - groups and named - groups <= texts("en").keys()


def test_every_text_is_said_somewhere() -> None:
    sources = "".join(file.read_text() for file in [*CODE, *PAGES.glob("*.html")])
    put_together = {f"{group}.{one}" for group in ("trouble", "in_full") for one in Trouble}
    put_together |= {f"reason.{one}" for one in [*ReauthReason, "unknown"]} | {
        f"list.{one.name}" for one in fields(Cards)
    }
    assert {key for key in texts("en") if f'"{key}"' not in sources} - put_together == set()


def test_what_a_page_is_given_to_say_is_looked_up() -> None:
    """No call that makes a page has a sentence in its arguments."""
    makers = {"message", "failed", "connected", "leaving", "returning", "ConnectFailed", "page"}
    sentences = []
    for file in CODE:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in makers:
                constants = [one.value for one in ast.walk(node) if isinstance(one, ast.Constant)]
                sentences += [one for one in constants if isinstance(one, str) and re.search(r"\w \w", one)]
    assert sentences == []


@pytest.mark.parametrize(
    ("locale", "header", "language"),
    [
        (None, None, "en"),
        (None, "", "en"),
        (None, "de", "de"),
        (None, "DE-ch", "de"),
        (None, "fr, de;q=0.7, ar;q=0.9", "ar"),
        (None, "de;q=0, ar", "ar"),
        (None, "en-GB,en;q=0.9,de;q=0.8", "en"),
        (None, "*", "en"),
        (None, "de;q=high, ar;q=0.1", "ar"),
        (None, "../../etc/passwd, \0, ;;;, " + "x" * 9000, "en"),
        ("ar-EG", "de", "ar"),
        ("de", "ar", "de"),
        ("xx", "ar", "ar"),
    ],
)
def test_language_is_the_sessions_or_else_the_browsers(locale: str | None, header: str | None, language: str) -> None:
    assert Words.of(locale, header).language == language


@pytest.mark.parametrize(
    ("language", "before", "said"),
    [
        ("en", timedelta(seconds=3), "1 minute ago"),
        ("en", timedelta(minutes=5), "5 minutes ago"),
        ("en", timedelta(days=3), "3 days ago"),
        ("de", timedelta(days=3), "vor 3 Tagen"),
        ("de", timedelta(days=400), "vor 1 Jahr"),
        ("ar", timedelta(days=3), "قبل 3 أيام"),
        ("ar", timedelta(days=2), "قبل يومين"),
    ],
)
def test_how_long_ago_is_said_as_people_say_it(language: str, before: timedelta, said: str) -> None:
    assert Words(language).ago(NOW - before, NOW) == said


def test_names_do_not_turn_the_marks_of_a_sentence_of_the_other_direction() -> None:
    assert Words("ar").direction == "rtl" and Words("en").direction == Words("de").direction == "ltr"
    assert "\u2068Slack\u2069" in Words("ar")("page.connected_text", application="Slack")
    assert Words("en")("page.connected_text", application="Slack") == "Slack is connected."
