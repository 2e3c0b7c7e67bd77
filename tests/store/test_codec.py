"""Payloads are sealed and opened, under the keys that are set."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import SecretStr
from temporalio.api.common.v1 import Payload
from temporalio.api.failure.v1 import Failure
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.exceptions import ApplicationError

from everlink.contract import CredentialRejected
from store.codec import PSEUDONYM_LENGTH, Codec, Pseudonyms, client_plugin
from store.settings import Settings
from store.vault import KeyInvalid, Keyring, new_master_key
from tests.store.processes import ROOT

OLD, NEW = new_master_key("old"), new_master_key("new")
MESSAGE = CredentialRejected(request_id="ada@acme.example")


def keyring(text: str) -> Keyring:
    return Keyring("EVERLINK_CODEC_KEY", text)


async def sealed(text: str = OLD, *, encrypts: bool = True) -> Payload:
    converter = replace(pydantic_data_converter, payload_codec=Codec(keyring(text), encrypts=encrypts))
    return (await converter.encode([MESSAGE]))[0]


async def opened(text: str, payload: Payload) -> object:
    converter = replace(pydantic_data_converter, payload_codec=Codec(keyring(text)))
    return (await converter.decode([payload], [CredentialRejected]))[0]


async def test_sealed_payload_shows_nothing_and_opens_again() -> None:
    payload, again = await sealed(), await sealed()
    assert b"acme" not in payload.SerializeToString() and payload.data != again.data
    assert await opened(OLD, payload) == MESSAGE


async def test_what_was_never_sealed_is_read_as_it_is() -> None:
    plain = await sealed(encrypts=False)
    assert b"acme" in plain.data
    assert await opened(OLD, plain) == MESSAGE


async def test_first_key_seals_and_all_open() -> None:
    both = f"{NEW},{OLD}"
    assert await opened(both, await sealed(OLD)) == MESSAGE
    assert await opened(NEW, await sealed(both)) == MESSAGE


async def test_missing_key_is_named_and_a_wrong_one_is_refused() -> None:
    with pytest.raises(KeyInvalid, match="EVERLINK_CODEC_KEY has no key with the id 'old'"):
        await opened(NEW, await sealed(OLD))
    with pytest.raises(KeyInvalid, match="the key 'old' of EVERLINK_CODEC_KEY does not open"):
        await opened(new_master_key("old"), await sealed(OLD))
    cut = await sealed(OLD)
    cut.data = cut.data[:-1]
    with pytest.raises(KeyInvalid):
        await opened(OLD, cut)


async def test_failure_is_sealed_whole_but_for_its_type() -> None:
    converter = client_plugin(Settings(codec_key=SecretStr(OLD))).configure_client({})["data_converter"]
    failure = Failure()
    await converter.encode_failure(ApplicationError("ada@acme.example", "ada@acme.example", type="Refused"), failure)
    assert b"acme" not in failure.SerializeToString()
    assert failure.application_failure_info.type == "Refused"
    shown = await converter.decode_failure(failure)
    assert isinstance(shown, ApplicationError) and shown.message == "ada@acme.example"


async def test_client_that_answers_others_seals_nothing_and_opens_all() -> None:
    settings = Settings(codec_key=SecretStr(OLD))
    converter = client_plugin(settings, encrypts=False).configure_client({})["data_converter"]
    assert b"acme" in (await converter.encode([MESSAGE]))[0].data
    assert await converter.decode([await sealed(OLD)], [CredentialRejected]) == [MESSAGE]


@pytest.mark.parametrize("key", [None, SecretStr("")])
def test_codec_is_off_without_a_key(key: SecretStr | None) -> None:
    converter = client_plugin(Settings(codec_key=key)).configure_client({})["data_converter"]
    assert converter is pydantic_data_converter


@pytest.mark.parametrize("module", ["worker.py", "-m api"])
def test_process_with_a_malformed_key_says_so_in_one_line(module: str, tmp_path: Path) -> None:
    settings = {
        "EVERLINK_DATABASE_URL": f"sqlite+aiosqlite:///{tmp_path}/x.sqlite3",
        "EVERLINK_MASTER_KEY": OLD,
        "EVERLINK_CODEC_KEY": "c1:AAAA",
    }
    ended = subprocess.run(
        [sys.executable, *module.split()],
        cwd=ROOT,
        env={"PATH": "/usr/bin", **settings},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1 and len(ended.stderr.splitlines()) == 1
    assert "EVERLINK_CODEC_KEY is written as" in ended.stderr and "AAAA" not in ended.stderr


def test_pseudonym_is_one_account_under_one_first_key() -> None:
    pseudonym = Pseudonyms(keyring(OLD)).of("acme")
    assert len(pseudonym) == PSEUDONYM_LENGTH and int(pseudonym, 16)
    assert pseudonym == Pseudonyms(keyring(f"{OLD},{NEW}")).of("acme")
    others = {Pseudonyms(keyring(OLD)).of("acme2"), Pseudonyms(keyring(f"{NEW},{OLD}")).of("acme")}
    assert pseudonym not in others and len(others) == 2
