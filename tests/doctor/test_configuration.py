"""What is wrong with settings, files and clocks."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from temporalio.testing import WorkflowEnvironment

from doctor import clock
from doctor.findings import Standing
from providers.catalog import BUILT_IN
from store.database import utc_now
from store.vault import new_master_key
from tests.doctor.helping import Operator


@pytest.fixture
def operator(sqlite_url: str) -> Operator:
    return Operator({"EVERLINK_DATABASE_URL": sqlite_url, "EVERLINK_TEMPORAL_ADDRESS": "127.0.0.1:9"})


@pytest.mark.parametrize(
    ("public", "web_ui", "standings"),
    [
        ("https://everlink.product.example", "https://temporal.product.example/ui", (Standing.OK, Standing.OK)),
        ("http://localhost:8080", "http://[::1]:8233", (Standing.OK, Standing.OK)),
        ("http://everlink.product.example", "http://10.0.0.7:8233", (Standing.WARNING, Standing.WARNING)),
        ("https://product.example/everlink", "https://product.example/", (Standing.FAILURE, Standing.FAILURE)),
        ("everlink.product.example", "ftp://product.example", (Standing.FAILURE, Standing.FAILURE)),
        ("https://me:planted@product.example", "https://product.example?a=planted", (Standing.FAILURE,) * 2),
    ],
)
async def test_addresses(operator: Operator, public: str, web_ui: str, standings: tuple[Standing, Standing]) -> None:
    operator.variables |= {"EVERLINK_PUBLIC_URL": public, "EVERLINK_WEB_UI_URL": web_ui}
    found = await operator.looks()
    assert (found["public address"].standing, found["Web UI address"].standing) == standings
    assert "planted" not in str(found)


async def test_address_is_mended_by_what_is_said(operator: Operator) -> None:
    operator.variables["EVERLINK_PUBLIC_URL"] = "http://product.example:8443/everlink/"
    mend = (await operator.looks())["public address"].mend
    assert mend is not None and mend.startswith("EVERLINK_PUBLIC_URL=")
    operator.variables["EVERLINK_PUBLIC_URL"] = mend.partition("=")[2]
    assert (await operator.looks())["public address"].standing is Standing.OK


async def test_catalog_file_that_is_broken_is_named(operator: Operator, tmp_path: Path) -> None:
    folder = tmp_path / "catalog"
    operator.variables["EVERLINK_CATALOG_DIR"] = str(folder)
    assert "is not a folder" in (await operator.looks())["catalog"].said
    folder.mkdir()
    shutil.copy(BUILT_IN / "slack.yaml", folder)
    assert (await operator.looks())["catalog"].standing is Standing.OK
    (folder / "slack.yaml").write_text("slug: slack\nname: [")
    found = (await operator.looks())["catalog"]
    assert found.standing is Standing.FAILURE and "slack.yaml" in found.said and "\n" not in found.said
    shutil.copy(BUILT_IN / "slack.yaml", folder)
    assert (await operator.looks())["catalog"].standing is Standing.OK


async def test_codec_is_on_off_or_has_no_key(operator: Operator) -> None:
    assert (await operator.looks())["codec"].said.startswith("off")
    for key, standing in (("c1:planted", Standing.FAILURE), (new_master_key("c1"), Standing.OK)):
        operator.variables["EVERLINK_CODEC_KEY"] = key
        found = (await operator.looks())["codec"]
        assert found.standing is standing and "planted" not in found.said


@asynccontextmanager
async def web_ui(seconds_ahead: float) -> AsyncIterator[str]:
    """A machine whose clock is off."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        date = format_datetime(utc_now() + timedelta(seconds=seconds_ahead), usegmt=True)
        writer.write(f"HTTP/1.1 200 OK\r\ndate: {date}\r\ncontent-length: 0\r\n\r\n".encode())
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_clock_is_held_beside_the_web_uis(operator: Operator, temporal: WorkflowEnvironment) -> None:
    operator.variables["EVERLINK_TEMPORAL_ADDRESS"] = temporal.client.service_client.config.target_host
    for ahead, standing in ((0, Standing.OK), (20, Standing.WARNING), (-7200, Standing.FAILURE)):
        async with web_ui(ahead) as operator.variables["EVERLINK_WEB_UI_URL"]:
            assert (await operator.looks())["clock, beside the Web UI"].standing is standing
    assert "clock, beside the Web UI" not in await operator.looks()  # nobody answers there any more


@pytest.mark.parametrize(
    ("off", "standing", "said"),
    [
        (0.4, Standing.OK, "agree"),
        (3, Standing.OK, "3 s behind"),
        (6, Standing.WARNING, "6 s behind"),
        (-6, Standing.WARNING, "6 s ahead"),
        (61, Standing.FAILURE, "61 s behind"),
    ],
)
def test_clocks_may_differ_by_what_workflows_allow_for(off: float, standing: Standing, said: str) -> None:
    found = clock.compared("clock", utc_now() + timedelta(seconds=off))
    assert found.standing is standing and said in found.said
