"""What Temporal is not shown where `EVERLINK_CODEC_KEY` is set: payloads are sealed, linked accounts have pseudonyms.

Every client of ours is connected with `client_plugin`, and a worker works with its client's converter.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeVar

from temporalio.api.common.v1 import Payload
from temporalio.client import (
    Interceptor,
    OutboundInterceptor,
    StartWorkflowInput,
    StartWorkflowUpdateWithStartInput,
    UpdateWithStartStartWorkflowInput,
    WorkflowHandle,
    WorkflowUpdateHandle,
)
from temporalio.common import SearchAttributePair, TypedSearchAttributes
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.converter import DefaultFailureConverterWithEncodedAttributes, PayloadCodec
from temporalio.plugin import SimplePlugin

from everlink.contract import LINKED_ACCOUNT
from store.settings import Settings
from store.vault import Keyring

ENCODING = b"binary/everlink-sealed"
CONTEXT = b"temporal payload"
PSEUDONYM_LENGTH = 32  # hexadecimal digits

Started = TypeVar("Started", StartWorkflowInput, UpdateWithStartStartWorkflowInput)


class Codec(PayloadCodec):
    """AES-256-GCM over whole payloads. What is not sealed is read as it is, so that it can be switched on any day."""

    def __init__(self, keys: Keyring, *, encrypts: bool = True) -> None:
        self._keys = keys
        self._encrypts = encrypts

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        return [self._seal(payload) for payload in payloads] if self._encrypts else list(payloads)

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Raises:
        KeyInvalid: a payload was sealed by a key that is not set; the message has its id.
        """
        return [self._open(payload) for payload in payloads]

    def _seal(self, payload: Payload) -> Payload:
        return Payload(metadata={"encoding": ENCODING}, data=self._keys.seal(payload.SerializeToString(), CONTEXT))

    def _open(self, payload: Payload) -> Payload:
        if payload.metadata.get("encoding") != ENCODING:
            return payload
        return Payload.FromString(self._keys.open(payload.data, CONTEXT))


class Pseudonyms:
    """What stands for linked accounts where Temporal has to read it: in search attributes, which no codec reaches."""

    def __init__(self, keys: Keyring) -> None:
        self._key = keys.derive(b"linked account")

    def of(self, account_id: str) -> str:
        return hmac.digest(self._key, account_id.encode(), "sha256").hex()[:PSEUDONYM_LENGTH]


class _Pseudonymous(Interceptor):
    """Whatever a client starts, it starts under a pseudonym; Temporal carries it on from run to run."""

    def __init__(self, pseudonyms: Pseudonyms) -> None:
        self._pseudonyms = pseudonyms

    def intercept_client(self, next: OutboundInterceptor) -> OutboundInterceptor:
        return _Starting(next, self._pseudonyms)


class _Starting(OutboundInterceptor):
    def __init__(self, next: OutboundInterceptor, pseudonyms: Pseudonyms) -> None:
        super().__init__(next)
        self._pseudonyms = pseudonyms

    async def start_workflow(self, input: StartWorkflowInput) -> WorkflowHandle[Any, Any]:
        return await super().start_workflow(self._masked(input))

    async def start_update_with_start_workflow(
        self, input: StartWorkflowUpdateWithStartInput
    ) -> WorkflowUpdateHandle[Any]:
        masked = replace(input, start_workflow_input=self._masked(input.start_workflow_input))
        return await super().start_update_with_start_workflow(masked)

    def _masked(self, input: Started) -> Started:
        attributes = input.search_attributes
        if not isinstance(attributes, TypedSearchAttributes) or LINKED_ACCOUNT not in attributes:
            return input
        pair = SearchAttributePair(LINKED_ACCOUNT, self._pseudonyms.of(attributes[LINKED_ACCOUNT]))
        return replace(input, search_attributes=attributes.updated(pair))


def codec_keys(settings: Settings) -> Keyring | None:
    """None: the codec is off.

    Raises:
        KeyInvalid: what is set is not a key.
    """
    text = settings.codec_key.get_secret_value() if settings.codec_key is not None else ""
    return Keyring("EVERLINK_CODEC_KEY", text) if text else None


def client_plugin(settings: Settings, *, encrypts: bool = True) -> SimplePlugin:
    """How a client of ours speaks to Temporal; behind other plugins, since the last one's converter counts.

    Args:
        encrypts: False where others read the answers: what is sealed is opened, but nothing is sealed.

    Raises:
        KeyInvalid: what is set is not a key.
    """
    keys = codec_keys(settings)
    if keys is None:
        return SimplePlugin("everlink.client", data_converter=pydantic_data_converter)
    converter = replace(pydantic_data_converter, payload_codec=Codec(keys, encrypts=encrypts))
    if encrypts:
        converter = replace(converter, failure_converter_class=DefaultFailureConverterWithEncodedAttributes)
    return SimplePlugin("everlink.client", data_converter=converter, interceptors=[_Pseudonymous(Pseudonyms(keys))])
