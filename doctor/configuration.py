"""What can be told from the settings and files alone."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address
from urllib.parse import urlsplit

from doctor.findings import Finding, failure, ok, warning
from providers.catalog import Catalog, CatalogError
from store.codec import codec_keys
from store.settings import Settings
from store.vault import KeyInvalid


def examine(settings: Settings) -> Iterator[Finding]:
    yield _address("public address", "EVERLINK_PUBLIC_URL", settings.public_url, below="/")
    yield _address("Web UI address", "EVERLINK_WEB_UI_URL", settings.web_ui_url, below="/temporal")
    yield _catalog(settings)
    yield _codec(settings)


def _address(check: str, variable: str, url: str, below: str) -> Finding:
    """Links are made by putting a path behind it; `below` is the longest path that it may have itself."""
    address = urlsplit(url)
    if address.scheme not in ("http", "https") or not address.hostname:
        return failure(check, f"{variable} is no http(s) address", f"set {variable} to https://HOST")
    origin = f"https://{address.netloc.rpartition('@')[2]}"
    if address.username is not None or address.query or address.fragment:
        return failure(check, f"{variable} has more than an address in it", f"{variable}={origin}")
    if url.endswith("/") or (address.path and below == "/"):
        return failure(check, f"{variable} ends with a path: links would lead nowhere", f"{variable}={origin}")
    if address.scheme == "http" and not _is_loopback(address.hostname):
        said = f"{variable} is not https: what browsers and providers send can be read on the way"
        return warning(check, said, f"put a TLS proxy in front, and set {variable}={origin}{address.path}")
    return ok(check, url)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _codec(settings: Settings) -> Finding:
    try:
        keys = codec_keys(settings)
    except KeyInvalid as error:
        mend = "python manage.py new-master-key, and put what it prints in front; older keys stay behind it"
        return failure("codec", str(error), mend)
    return ok("codec", "off: Temporal shows payloads as they are" if keys is None else "on: payloads are sealed")


def _catalog(settings: Settings) -> Finding:
    try:
        catalog = Catalog.load(settings.catalog_dir)
    except CatalogError as error:
        said = " ".join(str(error).split())
        return failure("catalog", f"it does not load: {said}", "correct that file, or EVERLINK_CATALOG_DIR")
    return ok("catalog", f"{len(list(catalog))} applications")
