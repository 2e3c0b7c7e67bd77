"""Why a customer comes back without a grant, in words that they can act on; the provider's own are never shown."""

from __future__ import annotations

from uuid import uuid4

import httpx
import pytest

from store.tables import CONNECT_TICKETS
from tests.api.conftest import OAUTH_URL, Everlink
from tests.api.provider import OUR_CLIENT, Provider
from tests.api.removing import scope_of
from tests.api.test_sites import SHOP_URL, consent, reconnect
from tests.api.visitor import Visitor


@pytest.fixture
async def shop(product: httpx.AsyncClient) -> httpx.AsyncClient:
    credentials = {"client_id": OUR_CLIENT[0], "client_secret": OUR_CLIENT[1]}
    assert (await product.put("/v1/applications/shop", json=credentials)).status_code == 200
    return product


async def link_to_shop(product: httpx.AsyncClient) -> str:
    return str((await product.get(SHOP_URL, params={"site": f"site-{uuid4().hex[:8]}"})).json()["auth_url"])


async def error_codes(everlink: Everlink, product: httpx.AsyncClient) -> list[str | None]:
    """What the product's attempts say, of all that it began."""
    query = CONNECT_TICKETS.select().where((await scope_of(everlink.made, product)).owns(CONNECT_TICKETS))
    async with everlink.made.database.reading() as reading:
        return [row.error_code for row in await reading.execute(query)]


@pytest.mark.parametrize(
    ("error", "words", "code"),
    [
        ("access_denied", "was not granted", "access_denied"),
        ("consent_required", "was not granted", "access_denied"),
        ("interaction_required", "was not granted", "access_denied"),
        ("temporarily_unavailable", "has trouble right now", "provider_unavailable"),
        ("server_error", "has trouble right now", "provider_unavailable"),
        ("invalid_scope", "tell whoever sent you", "application_refused"),
        ("unauthorized_client", "tell whoever sent you", "application_refused"),
        ("never_heard_of", "could not complete", "provider_failed"),
    ],
)
async def test_refusal_says_who_can_do_something_about_it(
    everlink: Everlink, product: httpx.AsyncClient, ada: Visitor, error: str, words: str, code: str
) -> None:
    denied = await ada.consent_only((await product.get(OAUTH_URL)).json()["auth_url"], allow=False)
    said = {"error": error, "error_description": "<b>planted</b>", "error_uri": "https://planted.example"}
    page = await ada.open(denied.copy_merge_params(said))
    assert page.status_code == 400 and words in page.text and "planted" not in page.text
    assert (await product.get("/v1/connections")).json()["connections"] == []
    assert await error_codes(everlink, product) == [code]


async def test_administrator_who_has_to_approve_is_told_of(
    everlink: Everlink, product: httpx.AsyncClient, ada: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry, microsoft = everlink.made.catalog.get("sandbox"), everlink.made.catalog.get("microsoft")
    assert entry is not None and entry.oauth2 is not None and microsoft is not None and microsoft.oauth2 is not None
    oauth2 = entry.oauth2.model_copy(update={"denials": microsoft.oauth2.denials})
    like_microsoft = entry.model_copy(update={"oauth2": oauth2})
    monkeypatch.setattr(everlink.made.catalog, "get", {"sandbox": like_microsoft}.get)
    link = (await product.get(OAUTH_URL)).json()["auth_url"]
    denied = await ada.consent_only(link, allow=False)
    page = await ada.open(denied.copy_set_param("error_description", "AADSTS90094: planted"))
    assert page.status_code == 400 and "administrator of your organization" in page.text and "planted" not in page.text
    assert await error_codes(everlink, product) == ["approval_needed"]
    assert (await ada.consent(link)).status_code == 200  # approved meanwhile
    assert await error_codes(everlink, product) == [None]


async def test_client_that_the_provider_refuses_is_not_the_customers_fault(
    product: httpx.AsyncClient, ada: Visitor, caplog: pytest.LogCaptureFixture
) -> None:
    wrong = {"client_secret": "wrong-secret", "previous_secret_seconds": 0}
    assert (await product.put("/v1/applications/sandbox", json=wrong)).status_code == 200
    page = await ada.consent((await product.get(OAUTH_URL)).json()["auth_url"])
    assert page.status_code == 502 and "tell whoever sent you" in page.text
    assert "the token endpoint of sandbox refuses the application" in caplog.text and "wrong-secret" not in caplog.text


async def test_wrong_account_reads_which_came_and_which_is_expected(shop: httpx.AsyncClient, sites: Provider) -> None:
    expected, came = f"<i>{uuid4().hex}", f"<script>{uuid4().hex}"
    assert (await consent(sites, await link_to_shop(shop), expected)).status_code == 200
    [connection] = (await shop.get("/v1/connections")).json()["connections"]
    link = await reconnect(shop, connection["id"])
    page = await consent(sites, link, came)
    shown = [came.replace("<", "&lt;").replace(">", "&gt;"), expected.replace("<", "&lt;").replace(">", "&gt;")]
    assert page.status_code == 409 and all(name in page.text for name in shown)
    assert came not in page.text and expected not in page.text
    assert page.text.index(shown[0]) < page.text.index(shown[1])
    assert came not in sites.tokens.values()  # given back
    [same] = (await shop.get("/v1/connections")).json()["connections"]
    assert same == connection
    assert (await shop.post(f"/v1/connections/{connection['id']}/refresh")).json()["verdict"] == "ok"
    assert (await consent(sites, link, expected)).status_code == 200  # trying again works, with the same link


async def test_two_accounts_of_one_name_are_told_apart(
    shop: httpx.AsyncClient, sites: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sites, "name", "Ada")
    expected, came = f"a-{uuid4().hex}", f"b-{uuid4().hex}"
    assert (await consent(sites, await link_to_shop(shop), expected)).status_code == 200
    [connection] = (await shop.get("/v1/connections")).json()["connections"]
    page = await consent(sites, await reconnect(shop, connection["id"]), came)
    assert page.status_code == 409 and f"Ada ({came})" in page.text and f"Ada ({expected})" in page.text
