"""What the SDK tells of a worker: its Prometheus endpoint, read."""

from __future__ import annotations

import re

import httpx

LINE = re.compile(r"(\w+)(?:\{(.*)\})? (\S+)")


async def read(http: httpx.AsyncClient, port: int) -> dict[tuple[str, str], float]:
    """Values by name and labels."""
    text = (await http.get(f"http://127.0.0.1:{port}/metrics")).raise_for_status().text
    found = (LINE.fullmatch(line) for line in text.splitlines() if not line.startswith("#"))
    return {(one[1], one[2] or ""): float(one[3]) for one in found if one}
