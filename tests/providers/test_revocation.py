"""The end of a grant at the provider: what is sent, and what the answer means for it."""

from __future__ import annotations

import base64
import json
from typing import Any

import httpx
import pytest

from everlink.contract import Verdict
from providers.credential import OAuthCredential
from providers.entry import OAuth2
from providers.oauth2 import Client
from providers.request import Request
from providers.revocation import Receipt, end_grant
from providers.rules import AnswerRule

ADDRESSES = {"authorize_url": "https://p.example/", "token_url": "https://p.example/token"}
OWN = Request(
    method="DELETE",
    url="https://api.p.example/apps/{client_id}/grant",
    basic=("{client_id}", "{client_secret}"),
    body={"access_token": "{access_token}"},
    success=AnswerRule(field="ok", code="true"),
)
BY_TOKEN = Request(method="POST", url="https://p.example/end", headers={"Authorization": "Bearer {access_token}"})
HELD = OAuthCredential(access_token="a", refresh_token="r")
NOW, FORMER = Client("me", "now"), Client("me", "former")


class Answering(httpx.AsyncClient):
    """Gives these answers in turn, and keeps the requests."""

    def __init__(self, *answers: tuple[int, Any]) -> None:
        self.requests: list[httpx.Request] = []
        self._answers = list(answers)
        super().__init__(transport=httpx.MockTransport(self._answer))

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        status, body = self._answers.pop(0)
        return httpx.Response(status, stream=httpx.ByteStream(json.dumps(body).encode()))


async def test_request_of_its_own_shows_the_client_and_the_token() -> None:
    async with Answering((200, {"ok": True})) as http:
        receipt = await end_grant(http, OAuth2(**ADDRESSES, revoke=OWN), [NOW, FORMER], HELD)
        [request] = http.requests
    assert receipt == Receipt(Verdict.OK, "revoked at the provider")
    assert (request.method, str(request.url)) == ("DELETE", "https://api.p.example/apps/me/grant")
    assert base64.b64decode(request.headers["authorization"].split()[1]) == b"me:now"
    assert json.loads(request.content) == {"access_token": "a"}


async def test_former_client_is_tried_where_the_present_one_is_refused() -> None:
    async with Answering((401, {"message": "Bad credentials"}), (200, {"ok": True})) as http:
        receipt = await end_grant(http, OAuth2(**ADDRESSES, revoke=OWN), [NOW, FORMER], HELD)
        shown = [base64.b64decode(one.headers["authorization"].split()[1]) for one in http.requests]
    assert receipt.verdict is Verdict.OK and shown == [b"me:now", b"me:former"]


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        ((200, {"ok": False}), Verdict.DEAD),
        ((404, {}), Verdict.DEAD),
        ((401, {}), Verdict.DEAD),
        ((429, {}), Verdict.TRANSIENT),
        ((503, {}), Verdict.TRANSIENT),
    ],
    ids=str,
)
async def test_receipt_says_what_came_of_it(answer: tuple[int, Any], verdict: Verdict) -> None:
    async with Answering(answer) as http:
        assert (await end_grant(http, OAuth2(**ADDRESSES, revoke=OWN), [NOW], HELD)).verdict is verdict


async def test_uninstalling_takes_the_place_of_revoking_only_when_asked() -> None:
    oauth2 = OAuth2(**ADDRESSES, revoke_url="https://p.example/revoke", uninstall=BY_TOKEN)
    async with Answering((204, None), (204, None)) as http:
        for uninstall, done in ((True, "uninstalled"), (False, "revoked")):
            receipt = await end_grant(http, oauth2, [NOW], HELD, uninstall=uninstall)
            assert receipt == Receipt(Verdict.OK, f"{done} at the provider")
        assert [str(one.url) for one in http.requests] == ["https://p.example/end", "https://p.example/revoke"]


async def test_without_a_client_only_what_needs_none_is_sent() -> None:
    async with Answering((200, {})) as http:
        assert (await end_grant(http, OAuth2(**ADDRESSES, revoke=BY_TOKEN), [], HELD)).verdict is Verdict.OK
        for oauth2 in (
            OAuth2(**ADDRESSES, revoke=OWN),
            OAuth2(**ADDRESSES, revoke_url="https://p.example/revoke"),
            OAuth2(**ADDRESSES),
            OAuth2(**ADDRESSES, uninstall=BY_TOKEN),
        ):
            receipt = await end_grant(http, oauth2, [], HELD)
            assert receipt.verdict is Verdict.UNSUPPORTED and receipt.note.endswith("nothing was sent")
        assert len(http.requests) == 1
