"""A token endpoint that fails in every way, before and after it has rotated the grant: no living connection is lost.

All cases suffer at the same time, each as an application of its own; each test looks at what became of one.
"""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest

from activities import limits
from providers.http import DEADLINE_SECONDS
from tests.api.conftest import Everlink, running, settings_for
from tests.faults.conftest import accepted, callbacks, connect, put_before, until
from tests.faults.proxy import Fault, Moment, Proxy
from tests.sandbox_process import running_sandbox
from tests.servers import start_dev_server

SLACK_SECONDS = 5.0  # of a busy machine


class Rotation(StrEnum):
    """What the provider makes of a refresh token that was used before."""

    STRICT = "strict"  # a theft: the grant ends
    GRACE = "grace"  # the same answer again


@dataclass(frozen=True)
class Case:
    fault: Fault
    moment: Moment
    rotation: Rotation

    def __str__(self) -> str:
        return f"{self.fault}, {self.moment}, {self.rotation}"

    @property
    def slug(self) -> str:
        return re.sub(r"[^a-z0-9]+", "-", str(self).lower())


CASES = [
    Case(fault, moment, rotation)
    for fault in Fault
    for moment, rotation in (
        (Moment.BEFORE, Rotation.STRICT),
        (Moment.AFTER, Rotation.STRICT),
        (Moment.AFTER, Rotation.GRACE),
    )
    if moment is Moment.BEFORE or not fault.is_refusal  # whoever says that he did nothing, did nothing
]


@dataclass(frozen=True)
class Suffered:
    """What became of a connection."""

    first: dict[str, Any]  # the answer to a forced refresh that failed
    during: dict[str, Any]  # the connection while its provider went on failing
    after: dict[str, Any]  # the connection once its provider was well again, and was asked again
    seconds: list[float]  # how long each broken request took
    token_accepted: bool


@pytest.fixture(scope="module")
async def suffered(
    tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path
) -> AsyncIterator[dict[Case, Suffered]]:
    folder = tmp_path_factory.mktemp("faults")
    shutil.copy(sqlite_template, folder / "everlink.sqlite3")
    redirects = callbacks(case.slug for case in CASES)
    async with AsyncExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setattr(limits, "MAX_PAUSE_SECONDS", 5.0)  # it is as honoured as the five minutes that it stands for
        temporal = await stack.enter_async_context(await start_dev_server())
        sandboxes: dict[Rotation, str] = {}
        for rotation, seconds in ((Rotation.STRICT, "0"), (Rotation.GRACE, "600")):
            (folder / rotation).mkdir()
            variables = {"SANDBOX_REDIRECT_URIS": redirects, "SANDBOX_GRACE_SECONDS": seconds}
            sandboxes[rotation] = await stack.enter_async_context(
                running_sandbox(folder / rotation, SANDBOX_ACCESS_TOKEN_SECONDS="3600", **variables)
            )
        strict = sandboxes[Rotation.STRICT]
        address = temporal.client.service_client.config.target_host
        settings = settings_for(f"sqlite+aiosqlite:///{folder}/everlink.sqlite3", folder, strict, address)
        assert settings.catalog_dir is not None
        plain = (settings.catalog_dir / "sandbox.yaml").read_text()
        proxies: dict[Case, Proxy] = {}
        for case in CASES:
            sandbox = sandboxes[case.rotation]
            proxies[case] = await stack.enter_async_context(Proxy(sandbox))
            (settings.catalog_dir / "sandbox.yaml").write_text(plain.replace(strict, sandbox))
            put_before(settings.catalog_dir, sandbox, proxies[case].url, case.slug)
        everlink = await stack.enter_async_context(running(settings, strict))
        results = await asyncio.gather(
            *(suffer(everlink, case, proxies[case], sandboxes[case.rotation]) for case in CASES)
        )
        yield dict(zip(CASES, results, strict=True))


async def suffer(everlink: Everlink, case: Case, proxy: Proxy, sandbox: str) -> Suffered:
    product = await everlink.product(case.slug)
    client = {"client_id": "everlink-sandbox", "client_secret": "sandbox-secret"}
    assert (await product.put(f"/v1/applications/{case.slug}", json=client)).status_code == 200
    path = f"/v1/connections/{await connect(product, sandbox, case.slug)}"
    once = case.fault.is_slow or case.fault is Fault.LIMITED_FOR_EVER  # there is no second try for a long time
    proxy.strike(case.fault, case.moment, 1 if once else 100)
    first = (await product.post(f"{path}/refresh")).json()
    await until(lambda: len(proxy.seconds) >= (1 if once else 2))
    during = first if once else (await product.get(path)).json()
    proxy.lift()
    async with asyncio.timeout(60):
        while (asked := (await product.post(f"{path}/refresh")).json())["status"] == "active":
            if asked["generation"] > 1:
                break
            await asyncio.sleep(0.2)
    token = (await product.get(f"{path}/token")).json().get("access_token", "none")
    after = (await product.get(path)).json()
    return Suffered(first, during, after, proxy.seconds, await accepted(sandbox, token))


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_fault_expires_no_living_connection(case: Case, suffered: dict[Case, Suffered]) -> None:
    what = suffered[case]
    assert (what.first["status"], what.first["verdict"], what.first["generation"]) == ("active", "transient", 1)
    assert what.during["status"] == "active"
    assert max(what.seconds) < DEADLINE_SECONDS + SLACK_SECONDS
    if case.fault.is_slow:
        assert max(what.seconds) > DEADLINE_SECONDS - 3  # it was the deadline that ended it
    if case.moment is Moment.AFTER and case.rotation is Rotation.STRICT:  # the one case that nobody can save
        assert (what.after["status"], what.after["reason"]) == ("reauth_required", "refresh_outcome_unknown")
        assert not what.token_accepted
    else:
        assert (what.after["status"], what.after["reason"], what.after["health"]) == ("active", None, "ok")
        assert what.token_accepted
