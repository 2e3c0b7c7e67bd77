"""What settings take for an organization's look: a picture that is one, and a colour on which can be read."""

from __future__ import annotations

import base64
import random
from typing import Any

import httpx
import pytest

from api.brand import DARK, LIGHT, MAX_LOGO_BYTES, READABLE, Colours, contrast
from api.html import PAGES

SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><path d="M0 0"/></svg>'
PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + b"\0" * 17
JPEG = b"\xff\xd8\xff\xe0\0\x10JFIF\0"
WEBP = b"RIFF\x1a\0\0\0WEBPVP8 "
BOMB = b'<!DOCTYPE svg [<!ENTITY a "aaaaaaaa"><!ENTITY b "&a;&a;&a;">]>' + SVG


def address(kind: str, data: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


async def saved(product: httpx.AsyncClient, name: str, value: Any) -> tuple[int, Any]:
    answer = await product.put("/v1/settings", json={name: value})
    return answer.status_code, (await product.get("/v1/settings")).json()[name]


@pytest.mark.parametrize(
    "logo",
    [
        address("png", PNG),
        address("jpeg", JPEG),
        address("webp", WEBP),
        address("svg+xml", SVG),
        address("svg+xml", b'<?xml version="1.0" encoding="utf-8"?>\n<!-- ours -->' + SVG),
        address("png", PNG + b"\0" * (MAX_LOGO_BYTES - len(PNG))),
    ],
    ids=["png", "jpeg", "webp", "svg", "svg with a prolog", "as large as may be"],
)
async def test_picture_is_taken_and_taken_back(product: httpx.AsyncClient, logo: str) -> None:
    assert await saved(product, "logo", logo) == (200, logo)
    assert await saved(product, "logo", None) == (200, None)


@pytest.mark.parametrize(
    "logo",
    [
        "https://acme.example/logo.png",
        "javascript:alert(1)",
        address("png", SVG),
        address("svg+xml", PNG),
        address("jpeg", PNG),
        address("gif", b"GIF89a"),
        address("svg+xml", b"<html><svg xmlns='http://www.w3.org/2000/svg'/></html>"),
        address("svg+xml", b"<svg/>"),
        address("svg+xml", SVG[:-3]),
        address("svg+xml", BOMB),
        address("svg+xml", BOMB.decode().encode("utf-16")),
        address("svg+xml", b'<?xml version="1.0" encoding="none-such"?>' + SVG),
        address("png", PNG + b"\0" * MAX_LOGO_BYTES),
        address("png", b""),
        address("png", PNG) + "\n",
        address("png", PNG).replace("base64,", "base64, "),
        address("png", PNG)[:-1] + '"',
        f"data:text/html;base64,{base64.b64encode(SVG).decode()}",
        "data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
        7,
    ],
)
async def test_what_is_no_small_picture_is_refused(product: httpx.AsyncClient, logo: object) -> None:
    assert await saved(product, "logo", logo) == (422, None)


@pytest.mark.parametrize("colour", ["red", "#fff", "#12345", "#1234567", "#12345g", "#123456\n", "#123456;}", 0x123456])
async def test_what_is_no_colour_is_refused(product: httpx.AsyncClient, colour: object) -> None:
    assert await saved(product, "brand_colour", colour) == (422, None)


async def test_colour_is_kept_in_small_letters(product: httpx.AsyncClient) -> None:
    assert await saved(product, "brand_colour", "#2C52D6") == (200, "#2c52d6")
    assert await saved(product, "brand_colour", None) == (200, None)


def test_grounds_are_those_of_the_pages() -> None:
    assert LIGHT == "#ffffff" and f"--card: light-dark(#fff, {DARK});" in (PAGES / "style.css").read_text()


def test_contrast_is_that_of_wcag() -> None:
    assert contrast("#000000", "#ffffff") == contrast("#ffffff", "#000000") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)  # the known grey that just fails
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)


def test_every_colour_can_be_read() -> None:
    chosen = random.Random(7)
    for colour in ("#000000", "#ffffff", "#777777", *(f"#{chosen.randrange(2**24):06x}" for _ in range(2000))):
        made = Colours.of(colour)
        assert made.brand == colour and contrast(made.on_brand, colour) >= READABLE
        assert contrast(made.accent_light, LIGHT) >= READABLE and contrast(made.accent_dark, DARK) >= READABLE


def test_colour_that_can_be_read_stays_what_it_is() -> None:
    assert Colours.of("#2c52d6").accent_light == "#2c52d6" and Colours.of("#ffcc00").accent_dark == "#ffcc00"
