"""All of Everlink with proxies between it and the sandbox's token endpoint."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from temporalio.testing import WorkflowEnvironment

from providers.credential import OAuthCredential
from sandbox.customer import Customer
from store.database import utc_now
from store.vault import Kind
from tests.api.conftest import Everlink, running, settings_for
from tests.faults.proxy import Proxy
from tests.sandbox_process import running_sandbox
from tests.servers import start_dev_server


@pytest.fixture
async def own_temporal() -> AsyncIterator[WorkflowEnvironment]:
    """A store of one's own needs a server of one's own."""
    async with await start_dev_server() as server:
        yield server


def callbacks(slugs: Iterable[str]) -> str:
    """Where the sandbox may send customers back to."""
    return " ".join(f"http://127.0.0.1/api/v1/{slug}/callback" for slug in slugs)


def put_before(catalog: Path, sandbox: str, proxy: str, slug: str = "sandbox") -> None:
    """The sandbox as the application `slug`, its token endpoint and its probe behind the proxy."""
    text = (catalog / "sandbox.yaml").read_text().replace("slug: sandbox\n", f"slug: {slug}\n")
    for path in ("/o/token/", "/api/me"):
        text = text.replace(f"{sandbox}{path}", f"{proxy}{path}")
    (catalog / f"{slug}.yaml").write_text(text)


async def connect(
    product: httpx.AsyncClient, sandbox: str, slug: str = "sandbox", name: str = "ada", account: str = "acme"
) -> str:
    """Connect through real consent; answers the connection's id."""
    url = f"/api/v2/public/linked-account/integration/oauth-url/{slug}"
    link = (await product.get(url, headers={"linked_account_id": account})).json()["auth_url"]
    async with Customer(sandbox, name, f"{name}-password") as customer:
        page = await customer.consent(link)
    assert page.status_code == 200, page.text
    where = {"application": slug, "linked_account_id": account, "status": "active"}
    listed = (await product.get("/v1/connections", params=where)).json()["connections"]
    [mine] = [row["id"] for row in listed if row["identifier"].startswith(name)]
    return str(mine)


async def accepted(sandbox: str, token: str) -> bool:
    """Whether the sandbox takes the access token."""
    async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
        answer = await client.get(f"{sandbox}/api/me", headers={"authorization": f"Bearer {token}"})
    assert answer.status_code in (200, 401)
    return answer.status_code == 200


async def until(true: Callable[[], bool], seconds: float = 60) -> None:
    async with asyncio.timeout(seconds):
        while not true():
            await asyncio.sleep(0.02)


@dataclass(frozen=True)
class Proxied:
    """API, worker and a strict sandbox, whose token endpoint and probe are behind one proxy."""

    everlink: Everlink
    proxy: Proxy
    temporal: WorkflowEnvironment

    @property
    def sandbox(self) -> str:
        return self.everlink.sandbox

    async def kept(self, product: httpx.AsyncClient, connection_id: str) -> tuple[int, OAuthCredential] | None:
        """What the vault holds: generation and credential."""
        made = self.everlink.made
        scope = (await made.api_keys.authenticate(product.headers["x-api-key"], utc_now())).scope
        assert scope is not None
        stored = await made.credentials.read(scope, connection_id)
        if stored is None:
            return None
        opened = await made.vault.open(scope, Kind.CREDENTIAL, connection_id, stored.sealed)
        return stored.generation, OAuthCredential.model_validate_json(opened)

    async def generation(self, product: httpx.AsyncClient, connection_id: str) -> int | None:
        kept = await self.kept(product, connection_id)
        return kept[0] if kept is not None else None


@asynccontextmanager
async def proxied(database_url: str, folder: Path, temporal: WorkflowEnvironment) -> AsyncIterator[Proxied]:
    async with running_sandbox(folder, SANDBOX_ACCESS_TOKEN_SECONDS="3600") as sandbox, Proxy(sandbox) as proxy:
        settings = settings_for(database_url, folder, sandbox, temporal.client.service_client.config.target_host)
        assert settings.catalog_dir is not None
        put_before(settings.catalog_dir, sandbox, proxy.url)
        async with running(settings, sandbox) as everlink:
            yield Proxied(everlink, proxy, temporal)
