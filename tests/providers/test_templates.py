"""A value stands in its place and nowhere else: no other host, no other path, no other query."""

from __future__ import annotations

import pytest

from providers.templates import CannotFill, fill, fill_url, names, texts

SHOP = "https://{shop}.myshopify.example/admin/{shop}?shop={shop}&fixed=1"


def test_value_stands_in_host_path_and_query() -> None:
    filled = fill_url(SHOP, {"shop": "acme-1"})
    assert filled == "https://acme-1.myshopify.example/admin/acme-1?shop=acme-1&fixed=1"


@pytest.mark.parametrize(
    "value",
    [
        "evil.example/",
        "evil.example#",
        "evil.example?",
        "a@evil.example",
        "a\\evil",
        "a:80",
        "",
        ".",
        "-a",
        "a b",
        "a\n",
    ],
    ids=ascii,
)
def test_value_that_would_lead_elsewhere_is_refused(value: str) -> None:
    with pytest.raises(CannotFill):
        fill_url(SHOP, {"shop": value})


def test_path_and_query_are_escaped() -> None:
    filled = fill_url("https://a.example/{id}?q={id}", {"id": "../x?y=1&z#ä"})
    assert filled == "https://a.example/..%2Fx%3Fy%3D1%26z%23%C3%A4?q=..%2Fx%3Fy%3D1%26z%23%C3%A4"


def test_address_that_the_provider_said_is_taken_whole() -> None:
    assert fill_url("{instance_url}/me", {"instance_url": "https://eu1.example/"}) == "https://eu1.example/me"


def test_text_takes_each_value_once() -> None:
    assert fill("{a}:{b}", {"a": "{b}", "b": "{a}"}) == "{b}:{a}"
    with pytest.raises(CannotFill):
        fill("{c}", {"a": "1"})


def test_names_and_texts_by_path() -> None:
    assert names("{a}-{b.c}-{}-{ d }") == {"a", "b.c"}
    assert texts({"a": 1, "b": {"c": "x", "d": [1]}, "e": True, "f": None}) == {"a": "1", "b.c": "x"}
    assert texts([1]) == {}
