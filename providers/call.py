"""Sends a request that a catalog entry describes."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

import httpx

from providers.entry import Request
from providers.http import Answer, send
from providers.templates import CannotFill, fill, fill_url

HEADER_VALUE = re.compile(r"([!-~]([ -~]*[!-~])?)?")  # RFC 9110 section 5.5, without what is obsolete


async def call(http: httpx.AsyncClient, request: Request, values: Mapping[str, str]) -> Answer:
    """Send it with these values.

    Raises:
        CannotFill: a value is missing, or no request can carry it; nothing was sent.
        RequestFailed: no complete answer came.
    """
    url, headers = _url(request, values), {name: fill(text, values) for name, text in request.headers.items()}
    if not all(HEADER_VALUE.fullmatch(value) for value in headers.values()):
        raise CannotFill("a value has characters that no header can carry")
    auth = (fill(request.basic[0], values), fill(request.basic[1], values)) if request.basic else None
    if request.body:
        content = json.dumps({name: fill(text, values) for name, text in request.body.items()}).encode()
        headers.setdefault("content-type", "application/json")
        return await send(http, request.method, url, headers=headers, auth=auth, content=content)
    form = {name: fill(text, values) for name, text in request.form.items()} or None
    return await send(http, request.method, url, headers=headers, auth=auth, data=form)


def _url(request: Request, values: Mapping[str, str]) -> str:
    try:
        url = fill_url(request.url, values)
        if httpx.URL(url).host:
            return url
    except (httpx.InvalidURL, UnicodeError):
        pass
    raise CannotFill("a value makes no address")
