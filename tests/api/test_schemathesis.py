"""schemathesis over the whole description, with all of its checks, against the real API and its worker."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from asyncio.subprocess import PIPE, STDOUT
from pathlib import Path

import httpx
import pytest

from dev.config import ROOT
from tests.api.conftest import Everlink

PUBLIC = "/api/v2/public"
KEY_IS_JUDGED = ("400", "422"), "the provider decides whether a key is good; an application may connect by no key"
ENDPOINT_IS_JUDGED = ("400", "422"), "the address has to be public, the events known, the headers no reserved ones"
NOT_OAUTH2 = ("400",), "not every application connects by OAuth 2"
# A valid request may be refused for what a schema cannot say. Each route, with which status, and why.
REFUSED_FOR_ITS_CONTENT = {
    "GET /v1/connections": (("422",), "a cursor is one that this list gave"),
    "GET /v1/events": (("422",), "a cursor is one that this list gave, and years have four digits"),
    "GET /v1/linked-accounts": (("422",), "a cursor is one that this list gave"),
    "POST /v1/connections/{connection_id}/report": (("422",), "what is reported has happened already"),
    "DELETE /v1/connections/{connection_id}": (("422",), "not every application can be uninstalled"),
    "POST /v1/connections/{connection_id}/reconnect": (("422",), "each application asks for fields of its own"),
    "POST /v1/connect-sessions": (("422",), "it leads only where the settings say, and is framed only there"),
    "PUT /v1/settings": (("422",), "a logo is a picture of the type that it says"),
    "POST /v1/connect-attempts": (("400", "422"), "each application asks for fields of its own, or for a key"),
    "POST /v1/api-keys": (("422",), "an end has to be in the future"),
    "GET /v1/catalog": (("422",), "a cursor is one that this list gave"),
    "PUT /v1/catalog/{slug}": (("422",), "what an entry says has to fit together, and its slug is an own one"),
    "DELETE /v1/catalog/{slug}": (("422",), "the slug is an own one"),
    "POST /v1/catalog/discover": (("422", "502"), "the issuer has to be public, and to answer"),
    "POST /v1/erase": (("422",), "the organization has to be the caller's own"),
    "POST /v1/webhook-endpoints": ENDPOINT_IS_JUDGED,
    "PATCH /v1/webhook-endpoints/{endpoint_id}": ENDPOINT_IS_JUDGED,
    "GET /v1/webhook-endpoints/{endpoint_id}/deliveries": (("422",), "a cursor is one that this list gave"),
    f"POST {PUBLIC}/webhook": ENDPOINT_IS_JUDGED,
    f"PUT {PUBLIC}/webhook/{{webhook_id}}": ENDPOINT_IS_JUDGED,
    f"POST {PUBLIC}/session-token": (("400",), "the linked account has to be there; the seed has it so"),
    f"POST {PUBLIC}/linked-account": (("400",), "either of two fields names the account"),
    f"PUT {PUBLIC}/linked-account": (("400",), "either of two fields names the account"),
    f"PUT {PUBLIC}/migrate-token": (("400", "422"), "one of two kinds of grant, which the provider judges"),
    f"PUT {PUBLIC}/linked-account/integration/save-key-credentials/{{slug}}": KEY_IS_JUDGED,
    f"GET {PUBLIC}/linked-account/integration/oauth-url/{{slug}}": NOT_OAUTH2,
    "POST /api/v2/app/{slug}/save": KEY_IS_JUDGED,
    "GET /api/v1/{slug}/integrate": NOT_OAUTH2,
    "POST /api/v1/{slug}/integrate": (("400",), "none of these applications connects machine to machine"),
}
NOT_CHECKED = {
    f"GET {PUBLIC}/application": ("negative_data_rejection", "in a query, a word and a list of one look the same"),
}
# A connection that has ended is still there to be read, with its history. What is gone is a 404: test_tenancy.py.
EXCLUDED_CHECKS = "use_after_free"
ACCEPTED = ["2xx", "3xx", "401", "403", "404", "409", "429"]


@pytest.mark.long
@pytest.mark.timeout(600)
async def test_every_route_keeps_to_its_description(
    everlink: Everlink, product: httpx.AsyncClient, tmp_path: Path
) -> None:
    connection = await everlink.connect(product)
    tokens = []
    for account in ("acme", "leaves"):
        await product.post("/api/v2/public/linked-account", json={"account_id": account})
        session = await product.post(f"{PUBLIC}/session-token", json={"linked_account_id": account})
        tokens.append(session.json()["token"])
    # The ids of what is there, some of the time; and slugs of applications whose provider runs.
    ids = {"connection_id": [connection], "slug": ["sandbox", "sandbox-key"]}
    lines = [
        f"hooks = {quoted(ROOT / 'tests' / 'api' / 'schemathesis_hooks.py')}",
        "headers = { linked_account_id = 'acme' }",
        "request-timeout = 60",
        "suppress-health-check = ['all']",
        "warnings = false",
        # Headers that nobody knows are ignored, as HTTP has it. No database keeps a NUL: test_hostile_values.py.
        "generation = { allow-extra-parameters = false, allow-x00 = false, database = 'none' }",
        f"[auth.openapi.ApiKey]\napi_key = {quoted(product.headers['x-api-key'])}",
        f"[auth.openapi.SessionToken]\nbearer = {quoted(tokens[0])}",
        *(f"[dictionaries.{name}]\nvalues = {quoted(values)}" for name, values in ids.items()),
        "[parameters]",
        "'query.timeout' = 0",  # of the long polls
        "'query.wait' = 0",
        *(f"'path.{name}' = {{ dictionary = '{name}', probability = 0.5 }}" for name in ids),
    ]
    for name, (statuses, _) in REFUSED_FOR_ITS_CONTENT.items():
        lines += ["[[operations]]", f"include-name = '{name}'"]
        lines += [f"checks.positive_data_acceptance.expected-statuses = {quoted([*ACCEPTED, *statuses])}"]
    for name, (check, _) in NOT_CHECKED.items():
        lines += ["[[operations]]", f"include-name = '{name}'", f"checks.{check}.enabled = false"]
    # It ends the sessions of its linked account: not of the one by whose token the others are called.
    lines += ["[[operations]]", f"include-name = 'POST {PUBLIC}/session-token/revoke'"]
    lines += [f"headers = {{ Authorization = 'Bearer {tokens[1]}' }}"]
    (tmp_path / "schemathesis.toml").write_text("\n".join(lines))

    process = await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name("schemathesis"),
        *("run", f"{everlink.url}/openapi.json", "--checks", "all", "--exclude-checks", EXCLUDED_CHECKS),
        *("--max-examples", "10", "--seed", "1", "--no-color", "--continue-on-failure"),
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        stdout=PIPE,
        stderr=STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    generated = re.search(r"(\d+) generated", output.decode())
    assert generated is not None and int(generated[1]) > 1000


def quoted(value: object) -> str:
    """As TOML has it, which is JSON here."""
    return json.dumps(value, default=str)
