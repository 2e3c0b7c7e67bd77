"""Ends a grant at the provider: by RFC 7009, by the provider's own request, or by uninstalling the application."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import httpx

from everlink.answers import NO_STATEMENT
from everlink.contract import Verdict
from providers.call import call
from providers.credential import OAuthCredential
from providers.entry import OAuth2
from providers.http import Answer, RequestFailed
from providers.oauth2 import Client, revoke
from providers.request import Request
from providers.templates import CannotFill
from providers.verdict import is_success, refuses_client


@dataclass(frozen=True)
class Receipt:
    """What came of it, for the connection's timeline."""

    verdict: Verdict  # OK; DEAD: refused; TRANSIENT: try again; UNSUPPORTED: nothing was sent
    note: str  # static words
    retry_after: float | None = None


async def end_grant(
    http: httpx.AsyncClient,
    oauth2: OAuth2,
    clients: Sequence[Client],
    credential: OAuthCredential,
    *,
    uninstall: bool = False,
) -> Receipt:
    """Revoke the grant, or end all that the application has at the customer's where that is asked for and possible.

    `clients` are the application's own, the present one first: the next is tried where the provider refuses one.
    """
    request = oauth2.uninstall if uninstall and oauth2.uninstall is not None else oauth2.revoke
    done = "uninstalled" if request is not None and request is oauth2.uninstall else "revoked"
    if request is None and oauth2.revoke_url is None:
        return Receipt(Verdict.UNSUPPORTED, "the application has no way to revoke; nothing was sent")
    receipt = Receipt(Verdict.UNSUPPORTED, "the application has no client id here; nothing was sent")
    # The provider's own request may need no client.
    shown: Sequence[Client | None] = clients or ([None] if request is not None else [])
    for client in shown:
        try:
            answer = await _send(http, oauth2, request, client, credential)
        except CannotFill as lack:
            return Receipt(Verdict.UNSUPPORTED, f"{lack}; nothing was sent")
        except RequestFailed as failure:
            return Receipt(Verdict.TRANSIENT, str(failure))
        receipt = _receipt(answer, request, done)
        if not (answer.status == 401 or refuses_client(answer, oauth2)):
            break
    return receipt


async def _send(
    http: httpx.AsyncClient, oauth2: OAuth2, request: Request | None, client: Client | None, credential: OAuthCredential
) -> Answer:
    if request is None:
        assert client is not None
        return await revoke(http, oauth2, client, credential)
    values = credential.values()
    if client is not None:
        values |= {"client_id": client.client_id}
        values |= {} if client.client_secret is None else {"client_secret": client.client_secret}
    return await call(http, request, values)


def _receipt(answer: Answer, request: Request | None, done: str) -> Receipt:
    """RFC 7009 answers 200 for a dead token as well."""
    if is_success(request.success if request is not None else None, answer):
        return Receipt(Verdict.OK, f"{done} at the provider")
    if answer.status in NO_STATEMENT or answer.status >= 500:
        return Receipt(Verdict.TRANSIENT, f"the provider answered HTTP {answer.status}", answer.retry_after())
    return Receipt(Verdict.DEAD, f"the provider refused (HTTP {answer.status}): it could not be {done}")
