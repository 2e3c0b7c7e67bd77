"""Asks the provider whether a credential works, and says what the answer means."""

from __future__ import annotations

import httpx

from everlink.contract import ReauthReason, Verdict
from providers.call import call
from providers.credential import Credential, KeyCredential
from providers.entry import CatalogEntry, Probe
from providers.http import RequestFailed
from providers.oauth2 import Client, introspect
from providers.templates import CannotFill
from providers.verdict import ProbeVerdict, judge_introspection, judge_probe_answer


def can_ask(entry: CatalogEntry) -> bool:
    """Whether the provider can be asked about a credential."""
    return entry.probe is not None or (entry.oauth2 is not None and entry.oauth2.introspect_url is not None)


async def ask(
    http: httpx.AsyncClient, entry: CatalogEntry, credential: Credential, client: Client | None
) -> ProbeVerdict | None:
    """Try the credential, by introspection (RFC 7662) where the entry has no probe; None where nobody can be asked."""
    if entry.probe is not None:
        return await probe(http, entry.probe, credential)
    oauth2 = entry.oauth2
    if oauth2 is None or oauth2.introspect_url is None or client is None or isinstance(credential, KeyCredential):
        return None
    try:
        return judge_introspection(await introspect(http, oauth2, client, credential), oauth2)
    except CannotFill as lack:
        return ProbeVerdict(Verdict.TRANSIENT, f"nothing was sent: {lack}")
    except RequestFailed as failure:
        return ProbeVerdict(Verdict.TRANSIENT, str(failure))


async def probe(http: httpx.AsyncClient, entry: Probe, credential: Credential) -> ProbeVerdict:
    """Try the credential. Trouble on the way says nothing about it."""
    try:
        answer = await call(http, entry, credential.values())
    except CannotFill:
        return ProbeVerdict(
            Verdict.DEAD,
            "the credential lacks what a request needs, or cannot be carried by one",
            ReauthReason.CREDENTIALS_INVALID,
        )
    except RequestFailed as failure:
        return ProbeVerdict(Verdict.TRANSIENT, str(failure))
    return judge_probe_answer(answer, entry)
