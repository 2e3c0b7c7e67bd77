"""Sends an application's probe and says what the answer means."""

from __future__ import annotations

import re

import httpx

from everlink.contract import ReauthReason, Verdict
from providers.catalog import Probe
from providers.credential import Credential, KeyCredential
from providers.http import RequestFailed, send
from providers.verdict import ProbeVerdict, judge_probe_answer

FIELD = re.compile(r"\{([^{}]+)\}")
HEADER_VALUE = re.compile(r"([!-~]([ -~]*[!-~])?)?")  # RFC 9110 section 5.5, without what is obsolete


async def probe(http: httpx.AsyncClient, entry: Probe, credential: Credential) -> ProbeVerdict:
    """Try the credential. Trouble on the way says nothing about it."""
    values = _values(credential)
    headers = {header.name: _fill(header.value, values) for header in entry.headers}
    auth = (_fill(entry.basic[0], values), _fill(entry.basic[1], values)) if entry.basic else None
    url = _fill(entry.url, values)
    if not (_is_address(url) and all(HEADER_VALUE.fullmatch(value) for value in headers.values())):
        return ProbeVerdict(
            Verdict.DEAD,
            "the credential has characters that no request can carry",
            ReauthReason.CREDENTIALS_INVALID,
        )
    try:
        answer = await send(http, entry.method, url, headers=headers, auth=auth)
    except RequestFailed as failure:
        return ProbeVerdict(Verdict.TRANSIENT, str(failure))
    return judge_probe_answer(answer, entry)


def _values(credential: Credential) -> dict[str, str]:
    if isinstance(credential, KeyCredential):
        return credential.fields
    return {"access_token": credential.access_token}


def _fill(template: str, values: dict[str, str]) -> str:
    """The template with its fields, once: what looks like a field in a value is text."""
    return FIELD.sub(lambda found: values.get(found[1], found[0]), template)


def _is_address(text: str) -> bool:
    try:
        return bool(httpx.URL(text).host)
    except (httpx.InvalidURL, UnicodeError):
        return False
