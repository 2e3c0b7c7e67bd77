"""Sends an application's probe and says what the answer means."""

from __future__ import annotations

import httpx

from everlink.contract import ReauthReason, Verdict
from providers.call import call
from providers.credential import Credential
from providers.entry import Probe
from providers.http import RequestFailed
from providers.templates import CannotFill
from providers.verdict import ProbeVerdict, judge_probe_answer


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
