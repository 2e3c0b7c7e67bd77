"""The browser's script, `everlink.js`, for pages of any origin: under its version for good, and as it is today."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import Response
from pydantic import BaseModel

from api.auth import Made
from api.errors import ApiError
from api.etags import weak_etag

FOLDER = Path(__file__).parent.parent / "sdk"
SCRIPT, TYPES = (FOLDER / "everlink.js").read_bytes(), (FOLDER / "everlink.d.ts").read_bytes()
[VERSION] = re.findall(r'^ *const VERSION = "([\d.]+)";$', SCRIPT.decode(), re.MULTILINE)
INTEGRITY = f"sha384-{base64.b64encode(hashlib.sha384(SCRIPT).digest()).decode()}"
FOR_ALL_PAGES = {
    "access-control-allow-origin": "*",  # without it, no integrity is checked
    "cross-origin-resource-policy": "cross-origin",
    "x-content-type-options": "nosniff",
}
SHORT, FOR_GOOD = "public, max-age=300", "public, max-age=31536000, immutable"

router = APIRouter(prefix="/sdk", include_in_schema=False)


class Release(BaseModel):
    """The script that is served, as a page names it."""

    version: str
    url: str
    integrity: str


@router.get("/everlink.js")
async def script() -> Response:
    return _file(SCRIPT, "text/javascript", SHORT)


@router.get("/everlink.d.ts")
async def types() -> Response:
    return _file(TYPES, "application/typescript", SHORT)


@router.get("/everlink.json")
async def release(made: Made, response: Response) -> Release:
    response.headers.update({**FOR_ALL_PAGES, "cache-control": SHORT})
    url = f"{made.settings.public_url}/sdk/everlink.{VERSION}.js"
    return Release(version=VERSION, url=url, integrity=INTEGRITY)


@router.get("/everlink.{version}.js")
async def script_of_version(version: str) -> Response:
    """An address never answers another version than it names: its integrity would not hold."""
    if version != VERSION:
        raise ApiError(404, "not_found", "this version is not served here")
    return _file(SCRIPT, "text/javascript", FOR_GOOD)


def _file(content: bytes, media_type: str, kept: str) -> Response:
    headers = {**FOR_ALL_PAGES, "cache-control": kept, "etag": weak_etag(content)}
    return Response(content, headers=headers, media_type=media_type)
