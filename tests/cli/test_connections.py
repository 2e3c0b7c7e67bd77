"""`everlink connections ...`, `refresh`, `disconnect`: what people read, what programs read, how errors look."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from asyncio.subprocess import Process
from dataclasses import replace

import httpx
import pytest
from sqlalchemy import update

from dev.config import ROOT
from store.tables import CONNECTIONS
from tests.api.conftest import Everlink, until_status
from tests.cli.conftest import Cli


async def until_said(process: Process, *words: str) -> str:
    """The line that has all of these."""
    assert process.stdout is not None
    async with asyncio.timeout(30):
        while line := (await process.stdout.readline()).decode():
            if all(word in line for word in words):
                return line
    raise AssertionError(f"it ended without {words}")


async def test_list_shows_what_matters_on_one_line_each(
    everlink: Everlink, product: httpx.AsyncClient, cli: Cli
) -> None:
    living, dead = await everlink.connect(product, "ada"), await everlink.connect(product, "grace")
    async with everlink.customer("grace") as grace:
        await grace.revoke()
    assert (await product.post(f"/v1/connections/{dead}/report")).status_code == 202
    await until_status(product, dead, "reauth_required")
    ended = await cli("connections", "list")
    header, *lines = ended.out.splitlines()
    assert (ended.code, ended.err, len(lines)) == (0, "", 2)
    assert header.split() == ["ID", "ACCOUNT", "APPLICATION", "IDENTIFIER", "STATUS", "SINCE", "(UTC)", "REASON"]
    of = {line.split()[0]: line for line in lines}
    assert re.fullmatch(rf"{living} +acme +sandbox +ada@acme.example +active +[-0-9]+ [:0-9]+ +- *", of[living])
    assert "reauth_required" in of[dead] and "access was revoked at the provider" in of[dead]


async def test_list_is_narrowed_by_each_filter(everlink: Everlink, product: httpx.AsyncClient, cli: Cli) -> None:
    mine = await everlink.connect(product)
    async with everlink.customer() as ada:
        _, key = await ada.create_key()
    url = "/api/v2/public/linked-account/integration/save-key-credentials/sandbox-key"
    assert (await product.put(url, json={"api_key": key})).status_code == 200
    for filters in (
        ("--application", "sandbox"),
        ("--application", "sandbox", "--status", "active", "--health", "ok", "--account", "acme"),
    ):
        ended = await cli("connections", "list", "--json", *filters)
        assert [json.loads(line)["id"] for line in ended.out.splitlines()] == [mine]
    for filters in (("--reason", "access_revoked"), ("--account", "globex"), ("--health", "degraded")):
        assert (await cli("connections", "list", "--json", *filters)).out == ""


async def test_text_of_others_does_not_steer_the_terminal(
    everlink: Everlink, product: httpx.AsyncClient, cli: Cli
) -> None:
    connection = await everlink.connect(product)
    evil = "\x1b[2J\x07[bold]:smile:"
    async with everlink.made.database.writing() as writing:
        mine = CONNECTIONS.c.id == connection
        await writing.execute(update(CONNECTIONS).where(mine).values(identifier=evil, display_name=evil))
    for command in (("list",), ("show", connection)):
        ended = await cli("connections", *command)
        assert "\x1b" not in ended.out and "\x07" not in ended.out and "[2J\ufffd[bold]:smile:" in ended.out


async def test_show_tells_a_life(everlink: Everlink, product: httpx.AsyncClient, cli: Cli) -> None:
    connection = await everlink.connect(product)
    async with everlink.customer() as ada:
        await ada.revoke()
    assert (await product.post(f"/v1/connections/{connection}/report")).status_code == 202
    found = await until_status(product, connection, "reauth_required")
    ended = await replace(cli, url=everlink.url.replace("//", "//me:password@"))("connections", "show", connection)
    assert ended.code == 0 and "password" not in ended.out
    said = {line.split("  ")[0]: line for line in ended.out.splitlines()}
    assert "reauth_required" in said["Status"] and "access was revoked at the provider" in said["Reason"]
    assert "the customer reconnects" in said["Next"] and "access was revoked" in said["Last failure"]
    assert str(found["workflow_url"]) in said["Temporal"]
    assert f"{everlink.url}/console/connections/{connection}" in said["Console"]
    assert "Connection Created" in said["1"] and "Connection Expired" in said["2"]
    whole = [json.loads(line) for line in (await cli("connections", "show", connection, "--json")).out.splitlines()]
    assert whole[0]["id"] == connection and [one["sequence"] for one in whole[1:]] == [1, 2]


async def test_watch_of_one_says_each_change_and_ends_with_it(
    everlink: Everlink, product: httpx.AsyncClient, cli: Cli
) -> None:
    connection = await everlink.connect(product)
    async with cli.started("connections", "watch", connection) as watching:
        await until_said(watching, connection, "active")
        async with everlink.customer() as ada:
            await ada.revoke()
        assert (await product.post(f"/v1/connections/{connection}/report")).status_code == 202
        await until_said(watching, "reauth_required", "Connection Expired", "access was revoked")
        assert (await product.delete(f"/v1/connections/{connection}")).status_code == 200
        await until_said(watching, "disconnected", "Connection Deleted")
        async with asyncio.timeout(20):
            assert await watching.wait() == 0


async def test_watch_of_all_says_what_is_new(everlink: Everlink, product: httpx.AsyncClient, cli: Cli) -> None:
    before = await everlink.connect(product)
    async with cli.started("connections", "watch", "--json") as watching:
        # It begins when it is there, and nobody sees when: events follow until one is told.
        assert watching.stdout is not None
        told = asyncio.create_task(watching.stdout.readline())
        async with asyncio.timeout(60):
            while not told.done():
                later = await everlink.connect(product, "grace")
                await asyncio.wait([told], timeout=3)
                assert (await product.delete(f"/v1/connections/{later}")).status_code == 200
        event = json.loads(told.result())
    assert event["connection_id"] != before and event["type"] in ("Connection Created", "Connection Deleted")


async def test_refresh_says_what_came_of_it(everlink: Everlink, product: httpx.AsyncClient, cli: Cli) -> None:
    connection = await everlink.connect(product)
    ended = await cli("refresh", connection)
    assert ended.code == 0 and ended.out.startswith(
        "active, ok; the provider's answer: ok; the credential lives until 2"
    )
    async with everlink.customer() as ada:
        await ada.revoke()
    ended = await cli("refresh", connection)
    assert (ended.code, ended.out) == (1, "reauth_required, ok; the provider's answer: dead\n")


async def test_disconnect_asks_first(everlink: Everlink, product: httpx.AsyncClient, cli: Cli) -> None:
    connection = await everlink.connect(product)
    for typed in ("n\n", ""):
        ended = await cli("disconnect", connection, typed=typed)
        assert ended.code == 1 and "acme's sandbox (ada@acme.example)" in ended.err
    await until_status(product, connection, "active")
    ended = await cli("disconnect", connection, typed="y\n")
    assert (ended.code, ended.out.strip()) == (0, "disconnected")
    other = await everlink.connect(product, "grace")
    ended = await cli("disconnect", other, "--yes")
    assert (ended.code, ended.out) == (0, "disconnected\n")


async def test_error_is_one_line(cli: Cli, product: httpx.AsyncClient) -> None:
    for someone, words in {
        replace(cli, url=""): "say where Everlink is: --url, or EVERLINK_URL",
        replace(cli, url="everlink.example"): "the URL is no http:// or https:// address",
        replace(cli, url="http://127.0.0.1:1"): "Everlink cannot be reached",
        replace(cli, url=f"{cli.url}/docs"): "Not Found (not_found)",
        replace(cli, api_key=""): "give an API key: EVERLINK_API_KEY, or --api-key",
        replace(cli, api_key="tk_ключ"): "the API key is not one",
        replace(cli, api_key="tk_planted_secret"): "the API key is missing or not valid (invalid_api_key)",
        cli: "there is no such connection (connection_not_found)",
    }.items():
        ended = await someone("connections", "show", "con_none")
        assert (ended.code, ended.out) == (1, "")
        assert ended.err.lower() == f"everlink: {words}\n".lower()


async def test_key_may_stand_before_the_command(cli: Cli) -> None:
    """As options, too; the help shows neither value."""
    nobody = Cli("", "")
    ended = await nobody("--url", cli.url, "--api-key", cli.api_key, "connections", "list", "--json")
    assert (ended.code, ended.said) == (0, "")
    assert (await cli("--help")).code == 0


@pytest.mark.parametrize("missing", ["typer", "rich"])
def test_without_its_extra_it_says_what_to_install(missing: str) -> None:
    code = (
        "import importlib.util as u, everlink.cli as c; found = u.find_spec;"
        f"c.find_spec = lambda name: None if name == '{missing}' else found(name); c.main()"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert ended.returncode == 1 and ended.stderr == (
        "everlink: the command needs its extra: pip install 'everlink[cli]'\n"
    )


def test_client_needs_neither_typer_nor_rich() -> None:
    gone = "import sys; sys.modules |= dict.fromkeys(['typer', 'rich', 'click'])"  # so that an import of them fails
    subprocess.run([sys.executable, "-c", f"{gone}; import everlink, everlink.cli"], check=True, cwd=ROOT)
