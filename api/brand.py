"""How an organization looks: its logo and its colour, as far as a page of ours can show them and be read."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated
from xml.parsers import expat

from pydantic import AfterValidator, Field

from api.services import Services
from store.scope import Scope

MAX_LOGO_BYTES = 32 * 1024
LOGO = re.compile(r"data:image/(png|jpeg|webp|svg\+xml);base64,([A-Za-z0-9+/]+={0,2})")
COLOUR = r"^#[0-9a-fA-F]{6}$"
LIGHT, DARK = "#ffffff", "#171b22"  # what colours stand on in the pages: `--card` of style.css
READABLE = 4.5  # WCAG 2.2, 1.4.3: the least contrast of a text

Channels = tuple[int, int, int]


@dataclass(frozen=True)
class Colours:
    """One colour, and what makes it readable: what is written on it, and its like on a light and on a dark page."""

    brand: str
    on_brand: str
    accent_light: str
    accent_dark: str

    @classmethod
    def of(cls, brand: str) -> Colours:
        on_brand = max("#000000", "#ffffff", key=lambda text: contrast(brand, text))
        return cls(brand, on_brand, _readable(brand, LIGHT, "#000000"), _readable(brand, DARK, "#ffffff"))


def contrast(one: str, other: str) -> float:
    """WCAG 2.2: from 1, no difference, to 21, black on white."""
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def _readable(colour: str, ground: str, towards: str) -> str:
    """The colour, mixed with black or white no more than it takes to be read on this ground."""
    mixes = (_mix(colour, towards, part / 20) for part in range(21))
    return next(mix for mix in mixes if contrast(mix, ground) >= READABLE)


def _mix(colour: str, other: str, part: float) -> str:
    pairs = zip(_channels(colour), _channels(other), strict=True)
    return "#" + "".join(f"{round(ours + (theirs - ours) * part):02x}" for ours, theirs in pairs)


def _luminance(colour: str) -> float:
    red, green, blue = (_linear(channel / 255) for channel in _channels(colour))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(channel: float) -> float:
    return channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4


def _channels(colour: str) -> Channels:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def is_png(data: bytes) -> bool:
    return data.startswith(b"\x89PNG\r\n\x1a\n") and data[12:16] == b"IHDR"


def is_jpeg(data: bytes) -> bool:
    return data.startswith(b"\xff\xd8\xff")


def is_webp(data: bytes) -> bool:
    return data.startswith(b"RIFF") and data[8:12] == b"WEBP"


def is_svg(data: bytes) -> bool:
    """Whether it is one document of SVG. One that declares a type of its own may blow up in whoever reads it."""
    roots: list[str] = []
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.StartElementHandler = lambda name, _: roots.append(name) if not roots else None
    parser.StartDoctypeDeclHandler = _no_doctype
    try:
        parser.Parse(data, True)
    except (expat.ExpatError, ValueError, LookupError):
        return False
    return roots == ["http://www.w3.org/2000/svg svg"]


def _no_doctype(*_: object) -> None:
    raise ValueError("a document type is declared")


IS: dict[str, Callable[[bytes], bool]] = {"png": is_png, "jpeg": is_jpeg, "webp": is_webp, "svg+xml": is_svg}


def exact_logo(text: str) -> str:
    """The text, if it is a `data:` address of a small picture.

    Raises:
        ValueError: it is something else.
    """
    match = LOGO.fullmatch(text)
    if match is None:
        raise ValueError("a logo is a data: address of a PNG, JPEG, WebP or SVG, in base64")
    try:
        data = base64.b64decode(match[2], validate=True)
    except binascii.Error:
        raise ValueError("a logo is written in base64") from None
    if len(data) > MAX_LOGO_BYTES:
        raise ValueError(f"a logo is at most {MAX_LOGO_BYTES} bytes long")
    if not IS[match[1]](data):
        raise ValueError("a logo is of the type that it says")
    return text


Logo = Annotated[str, Field(max_length=2 * MAX_LOGO_BYTES), AfterValidator(exact_logo)]
Colour = Annotated[str, Field(pattern=COLOUR), AfterValidator(str.lower)]


@dataclass(frozen=True)
class Look:
    """What an organization's customers recognize it by."""

    organization: str
    logo: str | None
    colours: Colours | None  # none: ours


async def look_of(made: Services, scope: Scope) -> Look:
    settings = await made.tenants.settings(scope)
    colours = Colours.of(settings.brand_colour) if settings.brand_colour else None
    return Look(await made.tenants.organization_name(scope), settings.logo, colours)
