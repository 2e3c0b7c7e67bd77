"""Sends a request that a catalog entry describes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import httpx

from providers.http import Answer, send
from providers.request import Request
from providers.templates import fill, fill_all, fill_headers, fill_url


async def call(http: httpx.AsyncClient, request: Request, values: Mapping[str, str]) -> Answer:
    """Send it with these values.

    Raises:
        CannotFill: a value is missing, or no request can carry it; nothing was sent.
        RequestFailed: no complete answer came.
    """
    return await send(http, request.method, **filled(request, values))


def filled(request: Request, values: Mapping[str, str]) -> dict[str, Any]:
    """What is sent, where all of it can be. Raises `CannotFill`."""
    headers = fill_headers(request.headers, values)
    auth = (fill(request.basic[0], values), fill(request.basic[1], values)) if request.basic else None
    said = {"url": fill_url(request.url, values), "headers": headers, "auth": auth}
    if request.body:
        headers.setdefault("content-type", "application/json")
        return {**said, "content": json.dumps(fill_all(request.body, values)).encode()}
    return {**said, "data": fill_all(request.form, values) or None}
