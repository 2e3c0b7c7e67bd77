"""The hosted page in a product's frame: who may frame it, by which cookies it lives, and what its script is told."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import pytest

from store.database import utc_now
from tests.api.conftest import OAUTH_URL, Everlink

ORIGIN = "https://app.example"
IN_FRAME = {"sec-fetch-dest": "iframe"}
JSON = {"accept": "application/json"}
PARTITIONED = "HttpOnly; Secure; SameSite=None; Partitioned"


class Frame:
    """A frame of a browser that keeps cookies there. httpx would not send them without TLS."""

    def __init__(self, client: httpx.AsyncClient, *, keeps_cookies: bool = True) -> None:
        self._client = client
        self._keeps = keeps_cookies
        self.cookies: dict[str, str] = {}
        self.url = httpx.URL("")

    async def load(self, url: str) -> httpx.Response:
        """The page that a link or an address leads to."""
        while True:
            answer = await self.send("GET", url, headers=IN_FRAME)
            self.url = answer.url
            if not answer.has_redirect_location:
                return answer
            url = str(answer.url.join(answer.headers["location"]))

    async def send(self, method: str, url: str, **options: Any) -> httpx.Response:
        cookies = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        headers = {"cookie": cookies, **options.pop("headers", {})}
        answer = await self._client.request(method, url, headers=headers, follow_redirects=False, **options)
        for cookie in answer.headers.get_list("set-cookie") if self._keeps else ():
            name, value = cookie.split(";")[0].split("=", 1)
            self.cookies[name] = value
        return answer

    async def submit(self, slug: str, form: dict[str, str], **headers: str) -> httpx.Response:
        own = {"origin": f"{self.url.scheme}://{self.url.netloc.decode()}", **JSON}
        body = {"session": self.url.path.rsplit("/", 1)[1], **form}
        return await self.send("POST", f"{self.url}/{slug}", data=body, headers={**own, **headers})


@pytest.fixture
async def frame(everlink: Everlink) -> AsyncIterator[Frame]:
    async with httpx.AsyncClient(base_url=everlink.url) as client:
        yield Frame(client)


async def session(product: httpx.AsyncClient, account: str = "acme", **wishes: Any) -> dict[str, Any]:
    await product.put("/v1/settings", json={"allowed_origins": [ORIGIN], "return_urls": ["https://app.example/back"]})
    await product.post("/api/v2/public/linked-account", json={"account_id": account})
    body = {"linked_account_id": account, "embed_origin": ORIGIN, **wishes}
    made: dict[str, Any] = (await product.post("/v1/connect-sessions", json=body)).json()
    return made


def ancestors(answer: httpx.Response) -> str:
    [found] = re.findall(r"frame-ancestors ([^;]+)", answer.headers["content-security-policy"])
    return str(found)


async def test_link_in_a_frame_is_traded_for_a_cookie_of_that_frame(product: httpx.AsyncClient, frame: Frame) -> None:
    made = await session(product, return_url="https://app.example/back")
    probe = await frame.send("GET", made["url"], headers=IN_FRAME)
    assert (probe.status_code, probe.headers["location"]) == (303, f"/connect/{made['session']}?probed")
    assert probe.headers["set-cookie"] == f"everlink_probe=1; Path=/connect; Max-Age=60; {PARTITIONED}"
    traded = await frame.send("GET", f"{made['url']}?probed", headers=IN_FRAME)
    assert (traded.status_code, traded.headers["location"]) == (303, f"/connect/frame/{made['id']}")
    assert re.fullmatch(
        rf"everlink_frame=[\w-]+; Path=/connect/frame/{made['id']}; Max-Age=3600; {PARTITIONED}",
        traded.headers["set-cookie"],
    )
    page = await frame.load(made["url"])  # the product's page is loaded again
    assert page.status_code == 200 and page.url.path == f"/connect/frame/{made['id']}"
    assert ancestors(page) == ORIGIN and f'data-parent="{ORIGIN}"' in page.text
    assert made["session"] not in page.text and "Back to" not in page.text
    for answer in (probe, traded, page):
        assert answer.headers["cache-control"] == "no-store"


async def test_browser_without_cookies_in_frames_keeps_the_link_for_a_window_of_its_own(
    everlink: Everlink, product: httpx.AsyncClient
) -> None:
    made = await session(product)
    async with httpx.AsyncClient(base_url=everlink.url) as client:
        page = await Frame(client, keeps_cookies=False).load(made["url"])
        assert page.status_code == 200 and ancestors(page) == ORIGIN
        assert re.findall(r'<a class="button" href="([^"]+)" target="_blank"', page.text) == [
            f"/connect/{made['session']}"
        ]
        window = await client.get(made["url"], headers={"sec-fetch-dest": "document"}, follow_redirects=True)
        assert (window.status_code, window.url.path, ancestors(window)) == (200, "/connect/session", "'none'")
        assert "frame.js" not in window.text


async def test_only_sessions_for_a_frame_open_in_one(product: httpx.AsyncClient, frame: Frame) -> None:
    made = await session(product, embed_origin=None)
    refused = await frame.load(made["url"])
    assert refused.status_code == 403 and ancestors(refused) == "'none'" and not frame.cookies
    page = await frame.send("GET", f"/connect/frame/{made['id']}", headers=IN_FRAME)
    assert page.status_code == 403 and ancestors(page) == "'none'"
    window = await frame.send("GET", made["url"], headers={"sec-fetch-dest": "document"})
    assert window.headers["location"] == "/connect/session"  # it was not spent


async def test_origin_that_is_not_allowed_any_more_frames_nothing(product: httpx.AsyncClient, frame: Frame) -> None:
    opened, unopened = await session(product), await session(product)
    assert (await frame.load(opened["url"])).status_code == 200
    page_url = str(frame.url)
    await product.put("/v1/settings", json={"allowed_origins": ["https://other.example"]})
    for url in (page_url, unopened["url"]):
        refused = await frame.load(url)
        assert refused.status_code == 403 and ancestors(refused) == "'none'"
    frame.url = httpx.URL(page_url)
    refused = await frame.submit("sandbox", {})
    assert (refused.status_code, refused.json()["error_code"]) == (403, "frame_not_allowed")
    await product.put("/v1/settings", json={"allowed_origins": [ORIGIN]})
    assert (await frame.load(unopened["url"])).status_code == 200  # it was not spent


async def test_link_that_another_browser_has_opened_says_so_in_the_frame(
    everlink: Everlink, product: httpx.AsyncClient, frame: Frame
) -> None:
    made = await session(product)
    assert (await frame.load(made["url"])).status_code == 200
    async with httpx.AsyncClient(base_url=everlink.url) as client:
        late = await Frame(client).load(made["url"])
    assert late.status_code == 401 and ancestors(late) == ORIGIN and 'data-trouble="session_expired"' in late.text
    assert 'name="session"' not in late.text


async def test_link_and_page_that_have_expired_say_so_in_the_frame(
    everlink: Everlink, product: httpx.AsyncClient, frame: Frame, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, late = await session(product), await session(product)
    assert (await frame.load(opened["url"])).status_code == 200
    page_url = str(frame.url)
    monkeypatch.setattr(everlink.made, "clock", lambda: utc_now() + timedelta(minutes=61))
    await session(product)  # others' links do not sweep these away at once
    for url in (page_url, late["url"]):
        expired = await frame.load(url)
        assert expired.status_code == 401 and ancestors(expired) == ORIGIN
        assert 'data-trouble="session_expired"' in expired.text
    frame.url = httpx.URL(page_url)
    assert (await frame.submit("sandbox", {})).json()["error_code"] == "session_expired"


async def test_cookie_of_one_session_opens_no_other(product: httpx.AsyncClient, frame: Frame) -> None:
    made, other = await session(product), await session(product, account="other")
    await frame.load(made["url"])
    assert (await frame.load(f"/connect/frame/{other['id']}")).status_code == 401
    assert (await frame.load(f"/connect/frame/{'0' * 32}")).status_code == 401
    assert (await frame.load(other["url"])).status_code == 200


async def test_customer_connects_in_a_window_and_the_frame_is_told(
    everlink: Everlink, product: httpx.AsyncClient, frame: Frame
) -> None:
    await frame.load((await session(product, return_url="https://app.example/back"))["url"])
    started = await frame.submit("sandbox", {})
    assert started.status_code == 201 and started.headers["cache-control"] == "no-store"
    attempt = f"{frame.url}/attempts/{started.json()['id']}"
    assert (await frame.send("GET", attempt)).json()["status"] == "open"
    async with everlink.customer() as customer:
        end = await customer.consent(started.json()["connect_url"])
    assert (
        end.status_code == 200 and "/connect/close.js" in end.text
    )  # and not on to `return_url`, which is the frame's
    told = (await frame.send("GET", attempt, params={"wait": 25})).json()
    [connection] = (await product.get("/v1/connections")).json()["connections"]
    assert (told["status"], told["connection_id"]) == ("connected", connection["id"])
    shown = await frame.load(f"{frame.url}?connected=sandbox")
    assert "Sandbox is connected." in shown.text and "close this window" not in shown.text


async def test_form_that_comes_before_its_script_leads_to_a_window_and_not_into_the_frame(
    product: httpx.AsyncClient, frame: Frame
) -> None:
    await frame.load((await session(product))["url"])
    answer = await frame.submit("sandbox", {}, accept="text/html")
    assert answer.status_code == 200 and "refresh" not in answer.headers
    [link] = re.findall('href="([^"]+)" target="_blank" rel="noopener"', answer.text)
    assert "/connect/start/" in link and f'<a href="{frame.url.path}">' in answer.text


async def test_only_windows_that_a_page_of_ours_has_opened_close_themselves(
    everlink: Everlink, product: httpx.AsyncClient
) -> None:
    link = (await product.get(OAUTH_URL)).json()["auth_url"]
    async with everlink.customer() as customer:
        assert "close.js" not in (await customer.consent(link)).text


async def test_attempts_are_told_to_their_own_frame_only(
    everlink: Everlink, product: httpx.AsyncClient, frame: Frame
) -> None:
    await frame.load((await session(product))["url"])
    attempt_id = (await frame.submit("sandbox", {})).json()["id"]
    stranger = await everlink.product("Other")
    async with httpx.AsyncClient(base_url=everlink.url) as client:
        for made in (await session(product, account="other"), await session(stranger)):
            other = Frame(client)
            await other.load(made["url"])
            answer = await other.send("GET", f"{other.url}/attempts/{attempt_id}")
            assert (answer.status_code, answer.json()["error_code"]) == (404, "connect_attempt_not_found")
        nobody = await client.get(f"{frame.url}/attempts/{attempt_id}", headers=JSON)
        assert (nobody.status_code, nobody.json()["error_code"]) == (401, "session_expired")


@pytest.mark.parametrize("origin", ["null", ORIGIN, "https://evil.example"])
async def test_form_of_another_page_does_nothing(product: httpx.AsyncClient, frame: Frame, origin: str) -> None:
    await frame.load((await session(product))["url"])
    answer = await frame.submit("sandbox", {}, origin=origin)
    assert (answer.status_code, answer.json()["error_code"]) == (403, "foreign_form")


async def test_key_is_refused_or_kept_as_on_the_hosted_page(
    everlink: Everlink, product: httpx.AsyncClient, frame: Frame
) -> None:
    await frame.load((await session(product))["url"])
    wrong = await frame.submit("sandbox-key", {"api_key": "sk_sandbox_wrong"})
    assert (wrong.status_code, wrong.json()["error_code"]) == (422, "credentials_refused")
    async with everlink.customer() as ada:
        _, key = await ada.create_key()
    kept = await frame.submit("sandbox-key", {"api_key": key})
    [connection] = (await product.get("/v1/connections")).json()["connections"]
    assert kept.json() == {"connection_id": connection["id"], "next": f"{frame.url.path}?connected=sandbox-key"}
