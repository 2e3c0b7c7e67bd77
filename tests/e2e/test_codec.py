"""With the codec on, an operator reads a connection's page in Temporal's Web UI once signed in, and before does not."""

from __future__ import annotations

import json
from asyncio.subprocess import PIPE, create_subprocess_exec
from base64 import b64encode
from collections.abc import AsyncIterator

import httpx
import pytest
from playwright.async_api import Browser, Page, expect

from dev.config import StackConfig
from dev.stack import Stack
from sandbox.customer import Customer
from store.codec import ENCODING, Pseudonyms, codec_keys
from store.settings import Settings
from store.vault import new_master_key
from tests.servers import BIN

SLOW = 30_000  # milliseconds: the Web UI asks many things before it shows a page
SEALED = "AQJjM"  # how it begins, in base64: the format, the length of the key's id, the id
ACCOUNT, TOKEN, KEY = "initech-4711", "operators-token-of-this-test", new_master_key("c1")


@pytest.fixture(scope="module")
async def sealed(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("EVERLINK_CODEC_KEY", KEY)
        environment.setenv("EVERLINK_CODEC_TOKEN", TOKEN)
        async with Stack(StackConfig.on_free_ports(tmp_path_factory.mktemp("sealed"))) as running:
            yield running


@pytest.fixture
async def page_url(sealed: Stack) -> str:
    """A connection's page in the Web UI."""
    seed = json.loads((sealed.config.state / "dev.json").read_text())
    headers = {"x-api-key": seed["api_key"], "linked_account_id": ACCOUNT}
    async with (
        httpx.AsyncClient(base_url=sealed.addresses.api, headers=headers, timeout=40) as product,
        Customer(sealed.addresses.sandbox, "ada", "ada-password") as ada,
    ):
        await product.post("/api/v2/public/linked-account", json={"account_id": ACCOUNT})
        link = await product.get("/api/v2/public/linked-account/integration/oauth-url/sandbox")
        await ada.consent(link.json()["auth_url"])
        found = (await product.get("/v1/connections")).json()["connections"][0]
        assert (await product.post(f"/v1/connections/{found['id']}/refresh")).status_code == 200
        return str(found["workflow_url"])


async def use_codec_server(page: Page, endpoint: str) -> None:
    """What the page of the codec server asks the operator to set."""
    await page.get_by_test_id("data-encoder-status").click()
    await page.get_by_test_id("use-local-endpoint-input").click()
    await page.locator("#data-encoder-endpoint-input").fill(endpoint)
    await page.locator("label").filter(has_text="Include cross-origin credentials").click()
    await page.locator('#data-encoder-settings >> [data-testid="confirm-modal-button"]').click()


async def test_operator_reads_after_signing_in_and_not_before(sealed: Stack, browser: Browser, page_url: str) -> None:
    context = await browser.new_context(viewport={"width": 1600, "height": 1000})
    page = await context.new_page()
    await page.goto(page_url)
    shown = page.get_by_role("textbox", name="Input")
    await expect(shown).to_contain_text(SEALED, timeout=SLOW)
    assert ACCOUNT not in await page.content()

    await page.goto(f"{sealed.addresses.api}/codec")
    await page.get_by_label("Token").fill(TOKEN)
    await page.get_by_role("button", name="Sign in").click()
    endpoint = await page.locator("code").first.inner_text()
    await page.get_by_role("link", name="Web UI").click()
    await use_codec_server(page, endpoint)

    await page.goto(page_url)
    await expect(shown).to_contain_text(f'"linked_account_id": "{ACCOUNT}"', timeout=SLOW)
    await page.get_by_text("User Metadata").first.click()
    details = page.frame_locator("iframe").nth(2)
    await expect(details.get_by_text("ada@acme.example")).to_be_visible(timeout=SLOW)


async def test_list_is_filtered_by_a_pseudonym(sealed: Stack, browser: Browser, page_url: str) -> None:
    keys = codec_keys(Settings.model_validate({"codec_key": KEY}))
    assert keys is not None
    pseudonym = Pseudonyms(keys).of(ACCOUNT)
    page = await browser.new_page()
    await page.goto(f'{page_url.rpartition("/")[0]}?query=LinkedAccount%3D"{pseudonym}"')
    await expect(page.get_by_role("row").filter(has_text="connection/con_")).to_have_count(1, timeout=SLOW)


async def test_command_line_reads_with_the_token(sealed: Stack, page_url: str) -> None:
    workflow = f"connection/{page_url.rpartition('%2F')[2]}"
    command = ["workflow", "show", "-w", workflow, "--output", "json", "--address", sealed.addresses.temporal]
    codec = ["--codec-endpoint", f"{sealed.addresses.api}/codec", "--codec-auth", f"Bearer {TOKEN}"]
    opened, as_kept = await temporal(*command, *codec), await temporal(*command)
    sealed_by_us = b64encode(ENCODING).decode()
    assert sealed_by_us in as_kept and sealed_by_us not in opened


async def temporal(*arguments: str) -> str:
    process = await create_subprocess_exec(BIN / "temporal", *arguments, stdout=PIPE)
    output, _ = await process.communicate()
    assert process.returncode == 0
    return output.decode()
