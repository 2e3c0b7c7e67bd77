"""What a product's requests carry, of every application in the catalog; and which answers refuse it."""

from __future__ import annotations

import pytest

from everlink.answers import first_match, needs_body
from providers.catalog import Catalog
from providers.credential import Credential, KeyCredential, OAuthCredential
from providers.entry import CatalogEntry
from providers.templates import names
from providers.usage import carried, refusals, secret_fields

ENTRIES = list(Catalog.load())
SECRET = "secret-7f3a"


def credential_of(entry: CatalogEntry) -> Credential:
    values = {one.name: (SECRET if one.type == "password" else "plain") for one in entry.fields}
    if entry.oauth2 is None:
        return KeyCredential(fields=values)
    needed = entry.probe.names if entry.probe else frozenset()
    return OAuthCredential(access_token=SECRET, given=values, extra=dict.fromkeys(needed - {"access_token"}, "plain"))


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.slug)
def test_requests_carry_the_credential_as_the_probe_does(entry: CatalogEntry) -> None:
    credential = credential_of(entry)
    found = carried(entry, credential)
    assert found.headers or found.query
    assert SECRET not in repr(found)
    if entry.probe is not None and entry.probe.basic is None:
        said = f"{found.headers} {found.query}"
        assert SECRET in said and "{" not in said.replace("{'", "").replace("{}", "")
        assert set(found.headers) == {name for name, text in entry.probe.headers.items() if names(text)}


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.slug)
@pytest.mark.parametrize("status", [200, 400, 401, 403, 429, 500])
def test_the_rules_that_are_handed_out_are_those_of_the_probe(entry: CatalogEntry, status: int) -> None:
    rules = entry.probe.dead if entry.probe is not None else ()
    bodies = [None, *({one.field: one.code, one.contains_in: one.contains} for one in rules)]
    for body in bodies if rules else ():
        known, told = first_match(rules, status, body), first_match(refusals(entry), status, body)
        assert (known is None) == (told is None)
        if told is not None and body is None:
            assert not needs_body(refusals(entry), status)


def test_basic() -> None:
    entry = next(one for one in ENTRIES if one.slug == "twilio")
    fields = {"sid": "AC1", "token": SECRET, "number": "+1"}
    credential = KeyCredential(fields=fields)
    assert carried(entry, credential).headers == {"Authorization": "Basic QUMxOnNlY3JldC03ZjNh"}
    assert secret_fields(entry, credential) == ["token"]


def test_what_no_request_can_carry_is_not_carried() -> None:
    slack = next(one for one in ENTRIES if one.slug == "slack")
    assert carried(slack, OAuthCredential(access_token="a\nb")).headers == {}


def test_an_application_that_is_known_no_more() -> None:
    assert carried(None, OAuthCredential(access_token="a")).headers == {"Authorization": "Bearer a"}
    assert carried(None, KeyCredential(fields={"key": "a"})).headers == {}
    assert secret_fields(None, KeyCredential(fields={"key": "a"})) == ["key"]
    assert [one.status for one in refusals(None)] == [401]
