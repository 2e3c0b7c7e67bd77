"""What browsers are told with everything that they get from us: one line for each page and each file."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx
import pytest

from everlink.contract import Environment
from tests.api.conftest import OAUTH_URL, Everlink
from tests.api.test_embedding import ORIGIN, Frame, session
from tests.api.test_hosted import hosted_url, submit
from tests.api.visitor import Visitor

NOBODY = "'none'"


@dataclass(frozen=True)
class Told:
    """What is particular to a page or a file."""

    opener: str = "same-origin"  # unsafe-none: it may be in a pop-up that the product watches
    referrer: str = "no-referrer"
    kept: str = "no-store"  # by the browser
    framed_by: str = NOBODY
    cookie: str | None = None  # that it sets


WATCHED = Told(opener="unsafe-none")
CONSOLE = Told(referrer="same-origin")
PAGES = {
    "the link": Told(cookie="everlink_session"),
    "the link, opened twice": Told(),
    "the link of nobody": Told(),
    "the list": Told(referrer="same-origin"),
    "the list without a cookie": Told(),
    "a form of another site": Told(),
    "the list in a frame": Told(referrer="same-origin", framed_by=ORIGIN),
    "the list in a frame without a cookie": Told(framed_by=ORIGIN),
    "leaving": Told(),
    "leaving, by script": Told(),
    "a key that is refused": Told(referrer="same-origin"),
    "the start": Told(opener="unsafe-none", cookie="everlink_browser"),
    "the start of nobody": WATCHED,
    "the start, done": WATCHED,
    "the callback": WATCHED,
    "the callback, again": WATCHED,
    "the callback, denied": WATCHED,
    "the callback of nobody": WATCHED,
    "the style": Told(kept="public, max-age=86400"),
    "the script": Told(kept="public, max-age=86400"),
    "the console, signed out": CONSOLE,
    "the console, signing in": Told(referrer="same-origin", cookie="everlink_console"),
    "the console": CONSOLE,
    "a page of the console": CONSOLE,
    "the console's style": Told(referrer="same-origin", kept="public, max-age=300"),
}


@pytest.fixture(scope="module")
async def answers(everlink: Everlink) -> AsyncIterator[dict[str, httpx.Response]]:
    """Each of them, got once."""
    product = await everlink.product("Headers", Environment.TEST)
    start = (await product.get(OAUTH_URL)).json()["auth_url"]
    got: dict[str, httpx.Response] = {}
    link = await hosted_url(product)
    async with (
        httpx.AsyncClient(base_url=everlink.url, headers={"origin": everlink.url}, timeout=30) as browser,
        httpx.AsyncClient(base_url=everlink.url, timeout=30) as stranger,
        Visitor(everlink.sandbox, "ada", "ada-password") as ada,
    ):
        got["the link"] = await browser.get(link)
        got["the link, opened twice"] = await browser.get(link)
        got["the link of nobody"] = await stranger.get("/connect/nobody")
        got["the list"] = await browser.get("/connect/session")
        got["the list without a cookie"] = await stranger.get("/connect/session")
        got["a form of another site"] = await browser.post(
            "/connect/session/sandbox", headers={"origin": "https://evil.example"}
        )
        got["leaving"] = await submit(browser, "sandbox", {})
        got["leaving, by script"] = await submit(browser, "sandbox", {}, headers={"accept": "application/json"})
        got["a key that is refused"] = await submit(browser, "sandbox-key", {"api_key": "wrong"})
        got["the start"] = await stranger.get(start)
        got["the start of nobody"] = await stranger.get("/connect/start/nobody")
        got["the callback, denied"] = await ada.open(await ada.consent_only(start, allow=False))
        answer = await ada.consent_only(start)
        got["the callback"] = await ada.open(answer)
        got["the callback, again"] = await ada.open(answer)
        got["the start, done"] = await ada.open(start)
        got["the callback of nobody"] = await stranger.get("/api/v1/sandbox/callback")
        framed = await session(product)
        got["the list in a frame without a cookie"] = await stranger.get(f"/connect/frame/{framed['id']}")
        got["the list in a frame"] = await Frame(stranger).load(framed["url"])
        got["the style"] = await stranger.get("/connect/style.css")
        got["the script"] = await stranger.get("/connect/page.js")
        got["the console, signed out"] = await browser.get("/console")
        form = {"api_key": product.headers["x-api-key"]}
        got["the console, signing in"] = await browser.post("/console", data=form)
        got["the console"] = await browser.get("/console")
        got["a page of the console"] = await browser.get("/console/applications")
        got["the console's style"] = await browser.get("/console/style.css")
        yield got


def policy(answer: httpx.Response) -> dict[str, list[str]]:
    parts = [part.split() for part in answer.headers["content-security-policy"].split(";")]
    return {name: sources for name, *sources in parts}


@pytest.mark.parametrize("name", PAGES)
async def test_browser_is_told_to_be_careful(answers: dict[str, httpx.Response], name: str) -> None:
    answer, told = answers[name], PAGES[name]
    assert answer.status_code < 500
    headers = answer.headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cross-origin-opener-policy"] == told.opener
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["referrer-policy"] == told.referrer
    assert headers["cache-control"] == told.kept
    for feature in ("camera", "geolocation", "microphone"):
        assert f"{feature}=()" in headers["permissions-policy"]
    allowed = policy(answer)
    assert allowed["default-src"] == allowed["base-uri"] == ["'none'"]
    assert allowed.pop("frame-ancestors") == [told.framed_by]
    assert allowed["form-action"] in (["'self'"], ["'none'"])
    everything = " ".join(source for sources in allowed.values() for source in sources)
    assert not re.search(r"unsafe|\*|http|blob:|strict-dynamic", everything)
    assert [name for name, sources in allowed.items() if "data:" in sources] in ([], ["img-src"])


@pytest.mark.parametrize("name", PAGES)
async def test_cookies_are_for_us_alone(answers: dict[str, httpx.Response], name: str) -> None:
    cookies, wanted = answers[name].headers.get_list("set-cookie"), PAGES[name].cookie
    assert [cookie.partition("=")[0] for cookie in cookies] == ([wanted] if wanted else [])
    for cookie in cookies:
        said = {part.strip().casefold() for part in cookie.split(";")}
        assert "httponly" in said and said & {"samesite=lax", "samesite=strict"}
        assert not any(part.startswith("domain") for part in said)


async def test_pages_are_whole_under_their_policy(answers: dict[str, httpx.Response]) -> None:
    """No style and no script stands in a page without the policy's nonce, and nothing comes from elsewhere."""
    pages = {
        name: answer
        for name, answer in answers.items()
        if answer.headers.get("content-type", "").startswith("text/html")
    }
    assert len(pages) > len(PAGES) / 2
    for name, page in pages.items():
        assert not re.search(r"<[^>]*\s(on\w+|style)\s*=", page.text), name
        assert not re.search(r"<script(?![^>]* src=\"/)", page.text), name
        for style in re.findall(r"<style([^>]*)>", page.text):
            [given] = re.findall(r'nonce="([^"]+)"', style)
            assert f"'nonce-{given}'" in policy(page)["style-src"], name
        for address in re.findall(r"\b(?:src|href)=\"([^\"]*)\"", page.text):
            assert re.match(r"/(?!/)|#|\?|data:image/|data:,", address), name


@pytest.mark.parametrize("file", ["everlink.js", "everlink.d.ts", "everlink.json"])
async def test_file_for_pages_of_any_origin_is_taken_for_nothing_else(everlink: Everlink, file: str) -> None:
    async with httpx.AsyncClient(base_url=everlink.url) as browser:
        answer = await browser.get(f"/sdk/{file}")
    assert answer.status_code == 200 and "set-cookie" not in answer.headers
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cross-origin-resource-policy"] == "cross-origin"


async def test_cookies_are_for_encrypted_connections_outside_of_loopback(
    everlink: Everlink, product: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, link = (await product.get(OAUTH_URL)).json()["auth_url"], await hosted_url(product)
    monkeypatch.setattr(everlink.made.settings, "public_url", "https://connect.example")
    async with httpx.AsyncClient() as browser:
        for address in (start, link):
            [cookie] = (await browser.get(address)).headers.get_list("set-cookie")
            assert "secure" in {part.strip().casefold() for part in cookie.split(";")}
