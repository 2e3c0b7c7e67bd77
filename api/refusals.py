"""What is said of a form that was not taken, in its reader's words: as a whole, and at each field that it concerns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from api.errors import ApiError
from api.trouble import Trouble
from api.wording import Words
from providers.entry import CatalogEntry

SAID = {"missing": "field.missing", "wrong": "field.wrong", "fields": "field.refused"}  # by the error's own names


@dataclass(frozen=True)
class Refusal:
    status: int
    code: str
    card_id: str  # whose form it was
    words: str
    fields: Mapping[str, str]  # what is said at each
    typed: Mapping[str, str]  # what stays in the form: nothing that is secret


def refusal(
    error: ApiError, card_id: str, entry: CatalogEntry | None, form: Mapping[str, str], words: Words
) -> Refusal:
    application, fields = (entry.name, entry.fields) if entry else ("", ())
    at = {
        name: words(key, application=application) for given, key in SAID.items() for name in error.fields.get(given, ())
    }
    typed = {field.name: form[field.name] for field in fields if field.type != "password" and form.get(field.name)}
    said = words(f"trouble.{Trouble.of(error.error_code)}", application=application)
    return Refusal(error.status, error.error_code, card_id, said, at, typed)
