"""The provider's answer in the wrong hands, at the wrong time, or with something added."""

from __future__ import annotations

from datetime import timedelta

import httpx
import pytest

from everlink.contract import Environment
from store.database import utc_now
from store.scope import Scope
from tests.api.conftest import OAUTH_URL, Everlink
from tests.api.removing import scope_of
from tests.api.visitor import Visitor


async def twin(everlink: Everlink, product: httpx.AsyncClient) -> httpx.AsyncClient:
    """The same organization in production."""
    scope = await scope_of(everlink.made, product)
    return await everlink.client(Scope(scope.org_id, Environment.PRODUCTION))


async def new_link(product: httpx.AsyncClient) -> str:
    return str((await product.get(OAUTH_URL)).json()["auth_url"])


async def connections(product: httpx.AsyncClient) -> list[dict[str, object]]:
    found: list[dict[str, object]] = (await product.get("/v1/connections")).json()["connections"]
    return found


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("state", None, "another browser"),
        ("state", "", "another browser"),
        ("state", "a" * 5000, "used before"),
        ("iss", "https://evil.example/o", "expected server"),
        ("iss", None, "expected server"),
        ("iss", "", "expected server"),
        ("code", None, "sent no code"),
        ("code", "forged", "did not accept"),
        ("error", "access_denied", "was not granted"),
        ("error", "", "could not complete"),
    ],
)
async def test_one_changed_parameter_spoils_a_good_answer(
    product: httpx.AsyncClient, ada: Visitor, name: str, value: str | None, words: str
) -> None:
    answer = await ada.consent_only(await new_link(product))
    changed = answer.copy_remove_param(name) if value is None else answer.copy_set_param(name, value)
    page = await ada.open(changed)
    assert page.status_code in (400, 502) and words in page.text
    assert await connections(product) == []


@pytest.mark.parametrize("name", ["state", "code", "iss", "error"])
async def test_parameter_that_comes_twice_is_refused_and_spends_nothing(
    product: httpx.AsyncClient, ada: Visitor, name: str
) -> None:
    answer = await ada.consent_only(await new_link(product))
    values = [*([answer.params[name]] if name in answer.params else []), "other", "another"][:2]
    page = await ada.open(
        answer.copy_remove_param(name).copy_add_param(name, values[0]).copy_add_param(name, values[1])
    )
    assert page.status_code == 400 and "not valid" in page.text
    assert (await ada.open(answer)).status_code == 200  # the answer as it was is still good


@pytest.mark.parametrize("name", ["error", "error_description", "error_uri", "state", "code", "iss"])
async def test_markup_in_an_answer_reaches_no_page(product: httpx.AsyncClient, ada: Visitor, name: str) -> None:
    answer = await ada.consent_only(await new_link(product))
    page = await ada.open(answer.copy_set_param(name, "<script>planted()</script>").copy_merge_params({"x": "planted"}))
    assert page.headers["content-type"].startswith("text/html")
    assert "planted" not in page.text and "<script" not in page.text


async def test_answer_opened_again_changes_nothing_and_reads_well(
    everlink: Everlink, product: httpx.AsyncClient, ada: Visitor
) -> None:
    answer = await ada.consent_only(await new_link(product))
    assert (await ada.open(answer)).status_code == 200
    before = await connections(product)
    page = await ada.open(answer)
    assert page.status_code == 200 and "Connected" in page.text
    assert await connections(product) == before


async def test_answer_is_good_only_in_the_browser_that_left(
    product: httpx.AsyncClient, ada: Visitor, grace: Visitor
) -> None:
    answer = await ada.consent_only(await new_link(product))
    assert "another browser" in (await grace.open(answer)).text  # it has no mark at all
    await grace.consent_only(await new_link(product))  # now it has its own
    page = await grace.open(answer)
    assert page.status_code == 400 and "used before" in page.text
    assert await connections(product) == []
    assert (await ada.open(answer)).status_code == 200  # the thief has not spoiled it


async def test_code_smuggled_into_another_visit_is_refused_by_its_verifier(
    product: httpx.AsyncClient, ada: Visitor, grace: Visitor
) -> None:
    stolen = await grace.consent_only(await new_link(product))
    mine = await ada.consent_only(await new_link(product))
    page = await ada.open(mine.copy_set_param("code", stolen.params["code"]))
    assert page.status_code == 502 and "did not accept" in page.text
    assert await connections(product) == []


async def test_code_is_good_once_whatever_the_state(product: httpx.AsyncClient, ada: Visitor) -> None:
    first = await ada.consent_only(await new_link(product))
    assert (await ada.open(first)).status_code == 200
    before = await connections(product)
    second = await ada.consent_only(await new_link(product))
    page = await ada.open(second.copy_set_param("code", first.params["code"]))
    assert page.status_code == 502 and "did not accept" in page.text
    assert await connections(product) == before


@pytest.mark.parametrize("slug", ["sandbox-key", "nothing", "..%2Fsandbox"])
async def test_answer_at_another_applications_address_is_refused(
    product: httpx.AsyncClient, ada: Visitor, slug: str
) -> None:
    answer = await ada.consent_only(await new_link(product))
    page = await ada.open(str(answer).replace("/sandbox/callback", f"/{slug}/callback"))
    assert page.status_code in (400, 404)
    assert await connections(product) == []


async def test_answer_connects_only_the_environment_that_its_link_is_of(
    everlink: Everlink, product: httpx.AsyncClient, ada: Visitor
) -> None:
    production = await twin(everlink, product)
    test, live = await ada.consent_only(await new_link(product)), await ada.consent_only(await new_link(production))
    assert (await ada.open(test.copy_set_param("code", live.params["code"]))).status_code == 502
    assert await connections(product) == await connections(production) == []
    assert (await ada.open(await ada.consent_only(await new_link(production)))).status_code == 200
    assert await connections(product) == []
    [only] = await connections(production)
    assert (await product.get(f"/v1/connections/{only['id']}")).status_code == 404


@pytest.mark.parametrize("minutes", [10, 11, 60 * 24])
async def test_answer_that_comes_too_late_is_refused(
    everlink: Everlink, product: httpx.AsyncClient, ada: Visitor, monkeypatch: pytest.MonkeyPatch, minutes: int
) -> None:
    link = await new_link(product)
    answer = await ada.consent_only(link)
    monkeypatch.setattr(everlink.made, "clock", lambda: utc_now() + timedelta(minutes=minutes))
    page = await ada.open(answer)
    assert page.status_code == 400 and "expired" in page.text
    assert await connections(product) == []


@pytest.mark.parametrize(
    "url", ["//evil.example", "/\\evil.example", "https://127.0.0.1@evil.example", "javascript:alert('evil')"]
)
@pytest.mark.parametrize("allow", [True, False])
async def test_return_url_that_an_answer_brings_leads_nowhere(
    product: httpx.AsyncClient, ada: Visitor, url: str, allow: bool
) -> None:
    answer = await ada.consent_only(await new_link(product), allow=allow)
    named = dict.fromkeys(("return_url", "redirect_uri", "next"), url)
    page = await ada.open(answer.copy_merge_params(named))
    assert page.status_code == (200 if allow else 400) and "evil" not in page.text
    assert page.url.path == "/api/v1/sandbox/callback" and "refresh" not in page.headers
