"""Finds out by itself what an OAuth 2 server's entry has to say."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from pydantic import ValidationError

from api.catalog import refuse_addresses, to_definition
from api.errors import ApiError
from api.services import Services
from everlink.catalog import CatalogDraft
from providers.addresses import refusal
from providers.discovery import Metadata, draft, notes, places, read
from providers.http import RequestFailed


async def discover(made: Services, issuer: str) -> CatalogDraft:
    """The draft of an entry, from the metadata of a server whose issuer is pinned to the one that is asked.

    Raises:
        ApiError: 422 `issuer_refused`, `metadata_not_found`, `metadata_refused` or `catalog_url_refused`; 502 where
            the server does not answer.
    """
    await _refuse_issuer(made, issuer)
    said = await _read(made, issuer)
    if said.issuer != issuer:
        raise _refused(["issuer"], "it is not the issuer that was asked")
    if said.client_auth is None:
        raise _refused(["token_endpoint_auth_methods_supported"], "no way that a client with a secret could use")
    try:
        found = draft(said)
    except ValidationError as error:
        raise ApiError(422, "metadata_refused", "it makes no application", details=_faults(error)) from None
    await refuse_addresses(made, found)
    return CatalogDraft(definition=to_definition(found), notes=notes(found))


async def _refuse_issuer(made: Services, issuer: str) -> None:
    """An issuer is an https address without query and fragment (RFC 8414 section 2)."""
    try:
        parts = urlsplit(issuer)
        plain = issuer.isascii() and not set("?#{}\\") & set(issuer) and parts.port != 0
        whole = plain and parts.hostname is not None and parts.username is None
    except ValueError:
        whole = False
    words = await refusal(made.guard, issuer) if whole else "it is no address without a query and a fragment"
    if words is not None:
        raise ApiError(422, "issuer_refused", words)


async def _read(made: Services, issuer: str) -> Metadata:
    for place in places(issuer):
        try:
            said = await read(made.http, place)
        except RequestFailed as failure:
            raise ApiError(502, "provider_unreachable", str(failure)) from None
        if said is not None:
            try:
                return Metadata.model_validate(said)
            except ValidationError as error:
                raise ApiError(422, "metadata_refused", "it is not as it should be", details=_faults(error)) from None
    raise ApiError(422, "metadata_not_found", "the server has no metadata where it would have to stand")


def _refused(place: list[str], words: str) -> ApiError:
    details = [{"loc": ["metadata", *place], "type": "refused", "msg": words}]
    return ApiError(422, "metadata_refused", words, details=details)


def _faults(error: ValidationError) -> list[dict[str, Any]]:
    """Where and what, never the value."""
    return [
        {"loc": ["metadata", *one["loc"]], "type": one["type"], "msg": one["msg"].removeprefix("Value error, ")}
        for one in error.errors(include_input=False, include_url=False, include_context=False)
    ]
