"""everlink.js as pages load it: from any origin, checked by its integrity, and kept for as long as it may be."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import AsyncIterator

import httpx
import pytest

from api.routes.sdk import FOLDER, INTEGRITY, VERSION
from dev.config import ROOT
from tests.api.conftest import Everlink

SCRIPT = (FOLDER / "everlink.js").read_bytes()
FILES = ["everlink.js", f"everlink.{VERSION}.js", "everlink.d.ts", "everlink.json"]


@pytest.fixture
async def anybody(everlink: Everlink) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=f"{everlink.url}/sdk/", headers={"origin": "https://a.example"}) as client:
        yield client


async def test_release_names_the_script_that_is_served(everlink: Everlink, anybody: httpx.AsyncClient) -> None:
    release = (await anybody.get("everlink.json")).json()
    assert release["version"] == VERSION and release["url"] == f"{everlink.url}/sdk/everlink.{VERSION}.js"
    served = (await anybody.get(release["url"])).content
    digest = base64.b64encode(hashlib.sha384(served).digest()).decode()
    assert release["integrity"] == f"sha384-{digest}"
    assert served == (await anybody.get("everlink.js")).content == SCRIPT


@pytest.mark.parametrize("name", FILES)
async def test_page_of_any_origin_may_load_it(anybody: httpx.AsyncClient, name: str) -> None:
    answer = await anybody.get(name)
    assert answer.status_code == 200
    assert answer.headers.get_list("access-control-allow-origin") == ["*"]
    assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_script_of_a_version_is_kept_for_good_and_the_others_for_minutes(anybody: httpx.AsyncClient) -> None:
    kept = {name: (await anybody.get(name)).headers["cache-control"] for name in FILES}
    assert kept.pop(f"everlink.{VERSION}.js") == "public, max-age=31536000, immutable"
    assert set(kept.values()) == {"public, max-age=300"}


@pytest.mark.parametrize("name", FILES)
async def test_what_has_not_changed_is_not_sent_again(anybody: httpx.AsyncClient, name: str) -> None:
    tag = (await anybody.get(name)).headers["etag"]
    again = await anybody.get(name, headers={"if-none-match": tag})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["access-control-allow-origin"] == "*" and "max-age" in again.headers["cache-control"]
    assert (await anybody.get(name, headers={"if-none-match": '"other"'})).status_code == 200


async def test_types_of_the_content(anybody: httpx.AsyncClient) -> None:
    types = [(await anybody.get(name)).headers["content-type"].split(";")[0] for name in FILES]
    assert types == ["text/javascript", "text/javascript", "application/typescript", "application/json"]


@pytest.mark.parametrize("version", ["0.0.1", "1", "1.0.0.0", "latest", "%2e%2e%2feverlink"])
async def test_other_version_is_not_found(anybody: httpx.AsyncClient, version: str) -> None:
    answer = await anybody.get(f"everlink.{version}.js")
    assert answer.status_code == 404 and "immutable" not in answer.headers.get("cache-control", "")


def test_script_that_changes_has_another_version() -> None:
    """Pages keep a version for good, and check its integrity."""
    page = (ROOT / "docs" / "reconnect.md").read_text()
    told = "api/sdk/everlink.js is not what docs/reconnect.md names: give it another VERSION if this one was released"
    assert re.findall(r"everlink\.(\d+\.\d+\.\d+)\.js", page) == [VERSION], told
    assert re.findall(r'integrity="(sha384-[^"]+)"', page) == [INTEGRITY], f"{told}; its integrity is {INTEGRITY}"


def test_script_is_small() -> None:
    assert len(SCRIPT.decode().splitlines()) < 600 and len(SCRIPT) < 30_000
