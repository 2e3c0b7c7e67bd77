"""What the SDK tells of a worker: its Prometheus endpoint, read."""

from __future__ import annotations

import re
from collections import Counter

import httpx

LINE = re.compile(r"(\w+)(?:\{(.*)\})? (\S+)")


async def read(http: httpx.AsyncClient, port: int) -> Counter[tuple[str, str]]:
    """Values by name and labels."""
    text = (await http.get(f"http://127.0.0.1:{port}/metrics")).raise_for_status().text
    found = (LINE.fullmatch(line) for line in text.splitlines() if not line.startswith("#"))
    return Counter({(one[1], one[2] or ""): float(one[3]) for one in found if one})  # type: ignore[arg-type]
