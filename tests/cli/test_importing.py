"""`everlink import`: every shape, what fails, a kill in the middle, and no secret anywhere."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import os
import stat
import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from everlink.cli.importing.done import SUFFIX
from everlink.contract import Environment
from providers.credential import OAuthCredential
from store.database import utc_now
from store.vault import Kind
from tests.api.conftest import Everlink
from tests.cli.conftest import Cli

Rows = list[dict[str, Any]]
STATUS = Path("/proc/self/status")  # of a process, which counts its memory from its own start


async def credential_of(everlink: Everlink, product: httpx.AsyncClient, connection: str) -> OAuthCredential:
    made = everlink.made
    key = await made.api_keys.authenticate(product.headers["x-api-key"], utc_now())
    assert key is not None
    stored = await made.credentials.read(key.scope, connection)
    assert stored is not None
    opened = await made.vault.open(key.scope, Kind.CREDENTIAL, connection, stored.sealed)
    return OAuthCredential.model_validate_json(opened)


async def granted(everlink: Everlink, name: str = "ada") -> dict[str, str]:
    """Tokens that another system holds: here another organization, which leaves them alone from now on."""
    other = await everlink.product("The system before")
    credential = await credential_of(everlink, other, await everlink.connect(other, name))
    assert credential.refresh_token is not None
    return {"access_token": credential.access_token, "refresh_token": credential.refresh_token}


async def new_key(everlink: Everlink, name: str = "ada") -> str:
    async with everlink.customer(name) as customer:
        return (await customer.create_key())[1]


def in_an_hour() -> str:
    return (datetime.now(UTC) + timedelta(hours=1)).isoformat()


async def connections(product: httpx.AsyncClient) -> Rows:
    """All of them, however many."""
    found: Rows = []
    cursor: dict[str, str] = {}
    while True:
        page = (await product.get("/v1/connections", params={"limit": 200, **cursor})).json()
        found += page["connections"]
        if page["next_cursor"] is None:
            return found
        cursor = {"cursor": page["next_cursor"]}


def array(rows: Rows) -> str:
    return json.dumps(rows, indent=1)


def json_lines(rows: Rows) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def as_csv(rows: Rows) -> str:
    flat = [dict(_flat(row)) for row in rows]
    text = io.StringIO()
    writer = csv.DictWriter(text, sorted({name for row in flat for name in row}))
    writer.writeheader()
    writer.writerows(flat)
    return text.getvalue()


def _flat(row: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    return [
        pair
        for name, value in row.items()
        for pair in (_flat(value, f"{prefix}{name}.") if isinstance(value, dict) else [(prefix + name, value)])
        if pair[1] is not None
    ]


def ours(account: str, tokens: dict[str, str], key: str) -> Rows:
    more = {"expires_at": in_an_hour(), "scope": "read", "extra": {"instance_url": "https://eu.example"}}
    return [
        {"linked_account_id": account, "slug": "sandbox", "name": "Globex", **tokens, **more},
        {"linked_account_id": account, "slug": "sandbox-key", "fields": {"api_key": key}},
    ]


def the_seeds(account: str, tokens: dict[str, str], key: str) -> Rows:
    grant = {**tokens, "expires_at": in_an_hour(), "scope": "read", "instance_url": "https://eu.example"}
    return [
        {"linked_account_id": account, "slug": "sandbox", "auth_object": {"oauth2": grant}, "name": "Globex"},
        {"account_id": account, "slug": "sandbox-key", "auth_object": {"keybased": {"api_key": key}}},
    ]


def nangos(account: str, tokens: dict[str, str], key: str) -> Rows:
    """As `GET /connections/{connectionId}` answers; what the provider's token endpoint answered is older than it."""
    common = {
        "id": 7,
        "provider": "sandbox",
        "errors": [],
        "metadata": {"folder": "x"},
        "created_at": "2026-01-01T00:00:00.000Z",
        "updated_at": "2026-01-01T00:00:00.000Z",
        "last_fetched_at": None,
        "tags": {"end_user_id": account},
        "end_user": {"id": account, "display_name": "Globex", "email": "a@globex.example", "organization": None},
    }
    older = {"access_token": "an-older-one", "refresh_token": "an-older-one", "expires_in": 1, "scope": "read"}
    oauth2 = {"type": "OAUTH2", **tokens, "expires_at": in_an_hour(), "raw": {**older, "token_type": "Bearer"}}
    where = {"instance_url": "https://eu.example"}
    return [
        {
            **common,
            "connection_id": str(uuid4()),
            "provider_config_key": "sandbox-prod",
            "connection_config": where,
            "credentials": oauth2,
        },
        {
            **common,
            "connection_id": str(uuid4()),
            "provider_config_key": "sandbox-key",
            "connection_config": {},
            "credentials": {"type": "API_KEY", "apiKey": key},
        },
    ]


@pytest.mark.parametrize(
    ("shape", "written"),
    [(ours, as_csv), (ours, array), (the_seeds, json_lines), (nangos, json_lines), (nangos, as_csv)],
)
async def test_each_shape_and_each_form(
    everlink: Everlink,
    product: httpx.AsyncClient,
    cli: Cli,
    tmp_path: Path,
    shape: Callable[[str, dict[str, str], str], Rows],
    written: Callable[[Rows], str],
) -> None:
    tokens, key = await granted(everlink), await new_key(everlink, "grace")
    file = tmp_path / "held"
    file.write_text(written(shape("globex", tokens, key)))
    named = ("--map", "sandbox-prod=sandbox")
    dry = await cli("import", file, "--dry-run", *named)
    assert (dry.code, dry.out, dry.err) == (0, "2 rows can be sent, 0 cannot; nothing was sent\n", "")
    state = file.with_name(file.name + SUFFIX)
    assert await connections(product) == [] and not state.exists()
    for said in ("2 imported, 0 imported before, 0 failed\n", "0 imported, 2 imported before, 0 failed\n"):
        ended = await cli("import", file, *named)
        assert (ended.code, ended.out, ended.err) == (0, said, "")
    found = {one["slug"]: one for one in await connections(product)}
    assert {slug: (one["linked_account_id"], one["identifier"], one["status"]) for slug, one in found.items()} == {
        "sandbox": ("globex", "ada@acme.example", "active"),
        "sandbox-key": ("globex", "grace@globex.example", "active"),
    }
    token = (await product.get(f"/v1/connections/{found['sandbox']['id']}/token")).json()
    assert token["access_token"] == tokens["access_token"]
    assert token["extra"] == {"instance_url": "https://eu.example"}
    assert datetime.fromisoformat(token["expires_at"]) > utc_now() + timedelta(minutes=50)
    kept = await credential_of(everlink, product, found["sandbox"]["id"])
    assert (kept.scope, kept.refresh_token) == ("read", tokens["refresh_token"])
    assert (await product.get("/v1/linked-accounts/globex")).json()["name"] == "Globex"
    assert stat.S_IMODE(state.stat().st_mode) == 0o600
    for secret in (*tokens.values(), key, cli.api_key):
        assert secret.encode() not in state.read_bytes()


async def test_nango_account_is_who_is_asked_for(
    everlink: Everlink, product: httpx.AsyncClient, cli: Cli, tmp_path: Path
) -> None:
    key = await new_key(everlink)
    row = {
        "connection_id": "their-connection",
        "provider_config_key": "sandbox-key",
        "credentials": {"type": "API_KEY", "apiKey": key},
        "end_user": {"id": "their-user", "organization": {"id": "their-org", "displayName": "Globex"}},
    }
    file = tmp_path / "held.jsonl"
    for account in ("end-user", "organization", "connection"):
        file.write_text(json_lines([row]))
        assert (await cli("import", file, "--nango-account", account)).code == 0
    file.write_text(json_lines([{**row, "end_user": None, "connection_id": "customer-7"}]))
    assert (await cli("import", file)).code == 0
    ended = await cli("import", file, "--nango-account", "organization")
    assert (ended.code, ended.err) == (1, "line 1: it names no organization\n")
    accounts = {one["linked_account_id"] for one in await connections(product)}
    assert accounts == {"their-user", "their-org", "their-connection", "customer-7"}
    assert (await product.get("/v1/linked-accounts/their-org")).json()["name"] == "Globex"


async def test_what_fails_is_told_by_line_and_without_a_secret(
    everlink: Everlink, product: httpx.AsyncClient, cli: Cli, tmp_path: Path
) -> None:
    """Rows that were mended are tried again, and the others are not."""
    good, secret = await new_key(everlink), "planted-secret-5e8a"
    flat = {"linked_account_id": "acme", "slug": "sandbox"}
    key_row = {**flat, "slug": "sandbox-key", "fields": {"api_key": secret}}
    nango = {"connection_id": "c", "provider_config_key": "sandbox"}
    oauth2 = {"type": "OAUTH2", "access_token": secret, "refresh_token": secret}
    basic = {"type": "BASIC", "username": "a", "password": secret}
    rejected: list[tuple[dict[str, Any] | str, str]] = [
        (key_row, "the provider does not accept these credentials (credentials_refused)"),
        ({**flat, "access_token": secret, "refresh_token": secret}, "(credentials_refused)"),
        ({**flat, "access_token": secret, "expires_at": "2020-01-01T00:00:00Z"}, "(already_expired)"),
        ({**flat, "access_token": secret, "expires_at": secret}, "expires_at: Input should be a valid datetime"),
        ({**flat, "access_token": secret, "refersh_token": secret}, "refersh_token: Extra inputs are not permitted"),
        ({**flat, "access_token": {"is": secret}}, "access_token: Input should be a valid string"),
        ({**flat, "fields": {"api_key": secret}}, "takes an access token, a refresh token or both"),
        ({**flat, "slug": "sandbox-key", "access_token": secret}, "takes a key (`fields`)"),
        ({**flat, "slug": "sandbox-key", "fields": {"key": secret}}, "asks for what is not there: api_key"),
        ({**flat, "linked_account_id": "x" * 256, "access_token": secret}, "linked_account_id: String should have at"),
        ({**flat, "slug": secret, "access_token": secret}, "there is no such application; --map THEIRS=OURS"),
        ({**flat, "slug": "slack", "access_token": secret}, "the application is not enabled"),
        ({"account": "acme", "token": secret}, "it is of no shape that is known: see docs/cli.md"),
        ({**nango, "credentials": {}}, "credentials: not of the type OAUTH2, API_KEY or BASIC, or not there"),
        ({**nango, "credentials": {"type": secret}}, "credentials: not of the type OAUTH2, API_KEY or BASIC"),
        ({**nango, "credentials": {**oauth2, "config_override": {"client_id": "x"}}}, "granted to a client of its own"),
        (
            {**nango, "provider_config_key": "sandbox-key", "credentials": basic},
            "it does not say what this application asks (api_key)",
        ),
        (f'{{"linked_account_id": "{secret}', "it is not valid JSON"),
    ]
    fine = {**key_row, "fields": {"api_key": good}}
    file = tmp_path / "held.jsonl"
    lines = [row if isinstance(row, str) else json.dumps(row) for row in (*(row for row, _ in rejected), fine)]
    file.write_text("\n".join(lines))
    ended = await cli("import", file)
    assert ended.code == 1 and ended.out == f"1 imported, 0 imported before, {len(rejected)} failed\n"
    said = dict(line.split(": ", 1) for line in ended.err.splitlines())
    for number, (row, words) in enumerate(rejected, 1):
        assert words in said[f"line {number}"], row
    assert secret not in ended.said and secret.encode() not in file.with_name(file.name + SUFFIX).read_bytes()
    dry = await cli("import", file, "--dry-run")
    assert dry.code == 1 and secret not in dry.said
    assert dry.out == f"4 rows can be sent, {len(rejected) - 3} cannot; nothing was sent\n"
    file.write_text(json_lines([fine, {**fine, "linked_account_id": "Müller & Söhne / 7"}]))
    assert (await cli("import", file)).out == "1 imported, 1 imported before, 0 failed\n"
    assert {one["linked_account_id"] for one in await connections(product)} == {"acme", "Müller & Söhne / 7"}


def all_of(terminal: int) -> str:
    """What is shown there until the other end is closed; a bar stands still where nobody reads."""
    parts = []
    with suppress(OSError):
        while part := os.read(terminal, 65_536):
            parts.append(part)
    return b"".join(parts).decode()


async def test_at_a_terminal_a_bar_follows(everlink: Everlink, cli: Cli, tmp_path: Path) -> None:
    """It says what has become of the rows; what fails stands above it."""
    key = {"slug": "sandbox-key", "fields": {"api_key": await new_key(everlink)}}
    file = tmp_path / "held.jsonl"
    file.write_text(json_lines([{"linked_account_id": "acme", **key}, {"linked_account_id": "acme"}]))
    terminal, theirs = os.openpty()
    async with cli.started("import", file, stderr=theirs) as importing:
        os.close(theirs)
        reading = asyncio.create_task(asyncio.to_thread(all_of, terminal))
        async with asyncio.timeout(60):
            assert await importing.wait() == 1
    shown = await reading
    os.close(terminal)
    assert "line 2: it is of no shape that is known" in shown
    last = shown.rsplit("\r", 2)[-2]
    assert "100% 1 imported, 1 failed" in last


async def test_nothing_but_a_file_and_a_key_that_may(
    everlink: Everlink, product: httpx.AsyncClient, cli: Cli, tmp_path: Path
) -> None:
    """What concerns all rows is said once."""
    file = tmp_path / "held.csv"
    rows = [
        {"linked_account_id": f"a{number}", "slug": "sandbox-key", "fields": {"api_key": "k"}} for number in range(30)
    ]
    file.write_text(as_csv(rows))
    made = everlink.made
    found = await made.api_keys.authenticate(product.headers["x-api-key"], utc_now())
    assert found is not None
    reads = Cli(cli.url, (await product.post("/v1/api-keys", json={"name": "x", "scopes": ["read"]})).json()["key"])
    ended = await reads("import", file)
    assert (ended.code, ended.err) == (1, "everlink: the API key may not do this (insufficient_scope)\n")
    assert ended.out == "0 imported, 0 imported before, 0 failed\n"
    ended = await cli("import", tmp_path / "none.csv")
    assert (ended.code, ended.err) == (1, "everlink: the file cannot be read: No such file or directory\n")
    file.with_name(file.name + SUFFIX).write_text("something else" * 100)
    ended = await cli("import", file)
    assert (
        ended.code == 1 and ended.err == "everlink: held.csv.everlink-import cannot be written, or is something else\n"
    )
    ended = await cli("import", file, "--map", "hubspot")
    assert (ended.code, ended.err) == (1, "everlink: --map takes THEIRS=OURS, as in --map hubspot-prod=hubspot\n")


async def test_killed_in_the_middle_it_goes_on_and_takes_nothing_over_twice(
    everlink: Everlink, product: httpx.AsyncClient, cli: Cli, tmp_path: Path
) -> None:
    """Their access tokens have ended, so each grant is refreshed as it is taken over.

    The sandbox ends one whose refresh token is used twice: that would show.
    """
    grants = [await granted(everlink, name) for name in ("ada", "grace") for _ in range(5)]
    key = await new_key(everlink)
    over = {"expires_at": "2026-01-01T00:00:00Z"}
    rows: Rows = [
        {"linked_account_id": f"a{number}", "slug": "sandbox", **tokens, **over} for number, tokens in enumerate(grants)
    ]
    rows += [{"linked_account_id": f"k{n}", "slug": "sandbox-key", "fields": {"api_key": key}} for n in range(20)]
    file = tmp_path / "held.jsonl"
    # One after the other: grants and keys.
    file.write_text(json_lines([row for pair in zip(rows[::2], rows[1::2], strict=True) for row in reversed(pair)]))
    async with cli.started("import", file, "--at-once", "2") as importing:
        async with asyncio.timeout(60):
            while len(await connections(product)) < 6:
                await asyncio.sleep(0.01)
        assert importing.returncode is None
        importing.kill()
        assert await importing.wait() == -9
    before = len(await connections(product))
    assert before < len(rows)
    ended = await cli("import", file)
    imported, known = (int(part.split()[0]) for part in ended.out.split(", ")[:2])
    assert ended.code == 0 and imported + known == len(rows) and 0 < known <= before, ended.said
    found = await connections(product)
    assert sorted(one["linked_account_id"] for one in found) == sorted(row["linked_account_id"] for row in rows)
    for one in found:
        timeline = (await product.get(f"/v1/connections/{one['id']}/events")).json()["transitions"]
        assert [change["event"] for change in timeline] == ["Connection Created"]
        assert (await product.post(f"/v1/connections/{one['id']}/refresh")).json()["verdict"] == "ok"


async def test_other_key_begins_anew(everlink: Everlink, cli: Cli, tmp_path: Path) -> None:
    """What went to one environment has not gone to the other."""
    file = tmp_path / "held.jsonl"
    key = {"api_key": await new_key(everlink)}
    file.write_text(json_lines([{"linked_account_id": "acme", "slug": "sandbox-key", "fields": key}]))
    assert (await cli("import", file)).out.startswith("1 imported, 0 imported before")
    production = await everlink.product("Acme", Environment.PRODUCTION)
    assert (await Cli(cli.url, production.headers["x-api-key"])("import", file)).out.startswith("1 imported, 0 ")
    assert len(await connections(production)) == 1


@pytest.mark.skipif(not STATUS.exists(), reason="no /proc here")
@pytest.mark.parametrize("written", [as_csv, json_lines, array])
async def test_memory_does_not_grow_with_the_file(cli: Cli, tmp_path: Path, written: Callable[[Rows], str]) -> None:
    """Ten thousand rows of 2 KB, and a hundred."""
    measured = (
        "import pathlib, sys, everlink.cli as c\n"
        "try: c.main()\n"
        f"finally: print(pathlib.Path('{STATUS}').read_text(), file=sys.stderr)"
    )
    most = []
    for count in (100, 10_000):
        file = tmp_path / f"{count}"
        row = {"linked_account_id": "acme", "slug": "sandbox", "access_token": "x" * 2000}
        file.write_text(written([{**row, "name": str(number)} for number in range(count)]))
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", measured, "--url", cli.url, "--api-key", cli.api_key, "import", file, "--dry-run"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        assert out.decode().startswith(f"{count} rows can be sent, 0 cannot"), err
        most.append(int(err.decode().split("VmHWM:")[1].split()[0]))
    assert most[1] < most[0] + 8_000  # KB, of 20 MB
