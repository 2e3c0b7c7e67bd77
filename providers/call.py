"""Sends a request that a catalog entry describes."""

from __future__ import annotations

import json
from collections.abc import Mapping

import httpx

from providers.entry import Request
from providers.http import Answer, send
from providers.templates import fill, fill_all, fill_headers, fill_url


async def call(http: httpx.AsyncClient, request: Request, values: Mapping[str, str]) -> Answer:
    """Send it with these values.

    Raises:
        CannotFill: a value is missing, or no request can carry it; nothing was sent.
        RequestFailed: no complete answer came.
    """
    url, headers = fill_url(request.url, values), fill_headers(request.headers, values)
    auth = (fill(request.basic[0], values), fill(request.basic[1], values)) if request.basic else None
    if request.body:
        content = json.dumps(fill_all(request.body, values)).encode()
        headers.setdefault("content-type", "application/json")
        return await send(http, request.method, url, headers=headers, auth=auth, content=content)
    form = fill_all(request.form, values) or None
    return await send(http, request.method, url, headers=headers, auth=auth, data=form)
