"""What a customer types in: whole and of the right shape, or each field that is not so is named."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from fastapi import Depends, Request
from pydantic import TypeAdapter, ValidationError

from api.errors import ApiError
from api.inputs import KeyFields
from providers.call import filled
from providers.entry import CatalogEntry
from providers.oauth2 import check_fields
from providers.templates import CannotFill

KEY_FIELDS: TypeAdapter[dict[str, str]] = TypeAdapter(KeyFields)


def complete(entry: CatalogEntry, given: Mapping[str, str]) -> dict[str, str]:
    """The fields as they were given.

    Raises:
        ApiError: 422 `invalid_fields`, which names those that are missing, unknown, or wrong: none of their options,
            not of their pattern, or nothing that a request to the provider could carry.
    """
    missing = [field.name for field in entry.fields if field.required and not given.get(field.name)]
    unknown = sorted(set(given) - {field.name for field in entry.fields})
    wrong = sorted(field.name for field in entry.fields if given.get(field.name) and not field.takes(given[field.name]))
    if not (missing or unknown or wrong):
        wrong = _not_carried(entry, given)
    if missing or unknown or wrong:
        words = "fields are missing, unknown or not of the right shape"
        raise ApiError(422, "invalid_fields", words, missing=missing, unknown=unknown, wrong=wrong)
    return dict(given)


def _not_carried(entry: CatalogEntry, given: Mapping[str, str]) -> list[str]:
    """The field that cannot stand in an address or a header of the entry's."""
    try:
        if entry.oauth2 is not None:
            check_fields(entry.oauth2, given)
        elif entry.probe is not None:
            filled(entry.probe, given)
    except CannotFill as lack:
        return [lack.name] if lack.name else [field.name for field in entry.fields]
    return []


def of_form(form: Mapping[str, object]) -> dict[str, str]:
    """The fields of a form that was filled in: what was left empty was not given. Raises `ApiError`."""
    try:
        return KEY_FIELDS.validate_python({name: value for name, value in form.items() if value})
    except ValidationError:
        raise ApiError(422, "invalid_fields", "a field holds what cannot be kept") from None


def of_query(request: Request) -> dict[str, str]:
    """All of the query: an application finds its fields there, and the caller's other parameters are not ours."""
    return dict(request.query_params)


Prerequisites = Annotated[dict[str, str], Depends(of_query)]


def among(entry: CatalogEntry, query: Mapping[str, str]) -> dict[str, str]:
    """The entry's fields of a query. Raises `ApiError`."""
    return of_form({field.name: query.get(field.name) for field in entry.fields})
