"""Whose account it is, from each place where a provider may say it."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from typing import Any

import pytest

from providers.credential import KeyCredential, OAuthCredential
from providers.entry import Identity
from providers.identity import identify

CLAIMS = urlsafe_b64encode(b'{"sub": "S1", "email": "ada@acme.example"}').rstrip(b"=").decode()
GRANT = OAuthCredential(
    access_token="a",
    extra={"team": {"id": "T1", "name": "Acme"}, "id_token": f"e.{CLAIMS}.s", "callback": {"realmId": "R1"}},
    given={"shop": "acme"},
)


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("probe.id", "42"),
        ("token.team.id", "T1"),
        ("id_token.sub", "S1"),
        ("callback.realmId", "R1"),
        ("given.shop", "acme"),
        ("probe.users.id", "7"),  # the first of several
        ("probe.missing", None),
        ("probe.flag", None),
        ("probe.empty", None),
        ("probe.long", None),
        ("probe.users", None),
    ],
)
def test_id_from_each_place(path: str, found: str | None) -> None:
    said: dict[str, Any] = {"id": 42, "users": [{"id": 7}, {"id": 8}], "flag": True, "empty": "", "long": "x" * 300}
    whose = identify(Identity(id=path), GRANT, said)
    assert (whose.id if whose else None) == found


def test_keys_by_which_events_name_the_account() -> None:
    identity = Identity(id="token.team.id", name="token.team.name", keys={"user": "probe.users.id", "none": "probe.x"})
    whose = identify(identity, GRANT, {"users": [{"id": 7}, {"id": 8}]})
    assert whose is not None and (whose.id, whose.name) == ("T1", "Acme")
    assert whose.keys == {"account": ["T1"], "user": ["7", "8"]}


def test_field_of_a_key_names_its_account() -> None:
    whose = identify(Identity(id="given.sid"), KeyCredential(fields={"sid": "AC1"}), None)
    assert whose is not None and whose.id == "AC1"


@pytest.mark.parametrize("token", ["a.b", "e.!.s", "e.bm90IGpzb24.s", "e.WzFd.s", 7, None], ids=ascii)
def test_broken_id_token_names_nobody(token: object) -> None:
    grant = OAuthCredential(access_token="a", extra={"id_token": token})
    assert identify(Identity(id="id_token.sub"), grant, None) is None


@pytest.mark.parametrize("said", [{"id": "a\ud83d"}, {"id": "a\0"}, {"id": {"a": 1}}, {"id": None}, {}], ids=ascii)
def test_odd_ids_name_nobody_for_no_store_could_keep_them(said: dict[str, Any]) -> None:
    assert identify(Identity(id="probe.id"), GRANT, said) is None
