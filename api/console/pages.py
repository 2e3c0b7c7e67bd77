"""The operator's pages: rendered here, without scripts, for nobody's frame, and of which nothing is kept."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from fastapi import Request
from fastapi.responses import HTMLResponse
from fastapi.templating import Jinja2Templates
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from api.html import PAGES
from api.life import lasting

FOLDER = PAGES / "console"
HOME = "/console"

POLICY = "default-src 'none'; style-src 'self'; img-src data:; form-action 'self'; base-uri 'none'"
HEADERS = {
    "content-security-policy": f"{POLICY}; frame-ancestors 'none'",
    "referrer-policy": "same-origin",  # with less, a browser would not say where a form comes from
}


def moment(at: datetime, *, seconds: bool = True) -> Markup:
    words = at.strftime("%Y-%m-%d %H:%M:%S UTC" if seconds else "%Y-%m-%d %H:%M")
    return Markup('<time datetime="{}">{}</time>').format(at.isoformat(), words)


def host(url: str) -> str:
    """Enough to know an endpoint by: the rest of an address may be a secret of its receiver's."""
    return urlsplit(url).netloc


def percent(share: float) -> str:
    return f"{share:.1f}".removesuffix(".0") + " %"


def sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}."


templates = Jinja2Templates(
    env=Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
)
templates.env.filters |= {
    "moment": moment,
    "lasting": lasting,
    "host": host,
    "percent": percent,
    "sentence": sentence,
}


def page(request: Request, template: str, values: dict[str, Any], status: int = 200) -> HTMLResponse:
    return templates.TemplateResponse(request, template, values, status)


def refusal(request: Request, status: int, title: str, words: str) -> HTMLResponse:
    return page(request, "refusal.html", {"title": title, "words": words}, status)


def is_ours(path: str) -> bool:
    """Whether an address that a form brings is one of the console's: it must lead nowhere else."""
    return path == HOME or (path.startswith((f"{HOME}/", f"{HOME}?")) and path.isprintable() and "\\" not in path)
