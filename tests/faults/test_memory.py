"""No answer of a token endpoint costs more memory than it may, measured in a process of its own."""

from __future__ import annotations

import asyncio
import sys

import pytest

from dev.config import ROOT
from tests.faults.proxy import Fault, Moment, Proxy

MAX_KIB = 64 * 1024
# One refresh as the activity sends and judges it. Memory does not depend on how long the deadline is.
MEASURED = """
import asyncio, resource, sys
from providers import http
from providers.entry import OAuth2
from providers.credential import OAuthCredential
from providers.guard import TargetGuard
from providers.oauth2 import Client, refresh
from providers.verdict import judge_token_answer

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

async def main(url):
    http.DEADLINE_SECONDS = 2.0
    oauth2 = OAuth2(authorize_url=url, token_url=f"{url}/o/token/")
    credential = OAuthCredential(access_token="old", refresh_token="old")
    async with http.make_client(TargetGuard(["127.0.0.1"])) as client:
        before = peak()
        try:
            answer = await refresh(client, oauth2, Client("id", "secret"), credential)
            verdict = judge_token_answer(answer, oauth2, credential).verdict
        except http.RequestFailed as failure:
            verdict = "transient" if failure.sent else "not sent"
        print(verdict, peak() - before)

asyncio.run(main(sys.argv[1]))
"""


@pytest.mark.parametrize("fault", Fault)
async def test_fault_costs_little_memory_and_says_nothing_of_the_grant(fault: Fault) -> None:
    async with Proxy() as proxy:
        proxy.strike(fault, Moment.BEFORE)
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", MEASURED, proxy.url, cwd=ROOT, stdout=asyncio.subprocess.PIPE
        )
        said, grown_kib = (await child.communicate())[0].rsplit(b" ", 1)
    assert (said, proxy.refreshes) == (b"transient", 1)
    assert int(grown_kib) < MAX_KIB
