"""Sends an application's probe and says what the answer means."""

from __future__ import annotations

import httpx

from everlink.contract import Verdict
from providers.catalog import Probe
from providers.credential import Credential, KeyCredential
from providers.http import RequestFailed, send
from providers.verdict import ProbeVerdict, judge_probe_answer


async def probe(http: httpx.AsyncClient, entry: Probe, credential: Credential) -> ProbeVerdict:
    """Try the credential. Trouble on the way says nothing about it."""
    values = _values(credential)
    headers = {header.name: _fill(header.value, values) for header in entry.headers}
    auth = (_fill(entry.basic[0], values), _fill(entry.basic[1], values)) if entry.basic else None
    if any(not value.isascii() or "\n" in value or "\r" in value for value in headers.values()):
        return ProbeVerdict(Verdict.DEAD, "the credential has characters that no header can carry")
    try:
        answer = await send(http, entry.method, _fill(entry.url, values), headers=headers, auth=auth)
    except RequestFailed as failure:
        return ProbeVerdict(Verdict.TRANSIENT, str(failure))
    return judge_probe_answer(answer, entry)


def _values(credential: Credential) -> dict[str, str]:
    if isinstance(credential, KeyCredential):
        return credential.fields
    return {"access_token": credential.access_token}


def _fill(template: str, values: dict[str, str]) -> str:
    for name, value in values.items():
        template = template.replace("{" + name + "}", value)
    return template
