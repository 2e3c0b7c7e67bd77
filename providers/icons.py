"""A picture for an application that brings none: its first letter, on a colour of its own."""

from __future__ import annotations

from hashlib import sha256
from html import escape
from urllib.parse import quote


def letter(name: str) -> str:
    """The picture as a `data:` address of an SVG."""
    hue = int.from_bytes(sha256(name.encode()).digest()[:2], "big") % 360
    svg = (
        "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 8 8'>"
        f"<rect width='8' height='8' rx='2' fill='hsl({hue},45%,40%)'/>"
        "<text x='4' y='5.8' font-size='5' font-family='sans-serif' text-anchor='middle' fill='#fff'>"
        f"{escape(name[:1].upper())}</text></svg>"
    )
    return f"data:image/svg+xml,{quote(svg, safe=chr(39) + ' =/:')}"
