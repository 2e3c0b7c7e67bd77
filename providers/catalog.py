"""What is known of each application: one YAML file each, validated when it is read."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from providers.entry import CatalogEntry

BUILT_IN = Path(__file__).parent / "catalog"
# All files are read at every start: libyaml, where PyYAML was built with it, takes a seventh of the time.
LOADER = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader
OWN = "own-"  # how the slugs begin that organizations bring themselves, so that none meets one of ours

log = logging.getLogger("everlink.catalog")


class CatalogError(Exception):
    """A catalog file is not what the schema says; names the file and the field."""


class Catalog:
    """All applications by slug."""

    def __init__(self, entries: Iterable[CatalogEntry], further: Iterable[CatalogEntry] = ()) -> None:
        self._built_in = {entry.slug: entry for entry in entries}
        self._entries = {**self._built_in, **{entry.slug: entry for entry in further}}

    @classmethod
    def load(cls, further: Path | None = None) -> Catalog:
        """Read the built-in folder, and a further one.

        Raises:
            CatalogError: a file is not valid, or the further folder is not there.
        """
        if further is not None and not further.is_dir():
            raise CatalogError(f"{further} is not a folder")
        return cls(_read_all(BUILT_IN), _read_all(further) if further is not None else ())

    async def find(self, slug: str, own: Callable[[str], Awaitable[dict[str, Any] | None]]) -> CatalogEntry | None:
        """An entry by its slug; `own` is asked for one that an organization brought, and for no other."""
        if not slug.startswith(OWN):
            return self.get(slug)
        definition = await own(slug)
        return None if definition is None else own_entry(slug, definition)

    def get(self, slug: str) -> CatalogEntry | None:
        return self._entries.get(slug)

    def built_in(self, slug: str) -> CatalogEntry | None:
        """The entry that everybody may know of: a further folder may tell whom an organization works with."""
        return self._built_in.get(slug)

    def __iter__(self) -> Iterator[CatalogEntry]:
        return iter(self._entries.values())


def own_entry(slug: str, definition: Mapping[str, Any]) -> CatalogEntry | None:
    """What an organization said of an application; None where that was valid under an older schema only."""
    try:
        return CatalogEntry.model_validate({**definition, "slug": slug})
    except ValidationError:
        log.error("the definition of %s is not valid any more; it has to be saved anew", slug)
        return None


def _read_all(folder: Path) -> list[CatalogEntry]:
    return [_read(file) for file in sorted(folder.glob("*.yaml"))]


def _read(file: Path) -> CatalogEntry:
    try:
        entry = CatalogEntry.model_validate(yaml.load(file.read_text(encoding="utf-8"), Loader=LOADER))
    except (ValueError, OSError, RecursionError, yaml.YAMLError) as error:
        raise CatalogError(f"{file.name}: {error}") from error
    if entry.slug.startswith(OWN):
        raise CatalogError(f"{file.name}: slugs that begin with {OWN!r} are for organizations' own applications")
    if entry.slug != file.stem:
        raise CatalogError(f"{file.name}: the slug is {entry.slug!r}, the file must be named after it")
    return entry
