"""Idempotency keys: a POST that is sent again is answered again, and acts once.

`claim` runs where the caller is known and allowed (`api/auth.py`), so that every route with authentication has it;
`KeepsAnswers` sees what the claimed request is answered, whoever answers it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import re
from collections.abc import Iterable

from fastapi import FastAPI, Request, Response
from starlette.types import ASGIApp, Message, Receive, Send
from starlette.types import Scope as ASGIScope

from api.errors import ApiError
from api.services import Services
from store.answers import TENANT, Claim, KeptAnswer, Place, Refused, browsers_of
from store.database import StoreUnavailable
from store.scope import Scope
from store.vault import Kind, VaultError

log = logging.getLogger("everlink.api")

HEADER = "idempotency-key"
VISIBLE_ASCII = re.compile(r"[!-~]{1,255}")
KEPT_HEADERS = ("content-type", "cache-control", "location", "retry-after")
NOT_KEPT = (401, 403, 429)  # they say nothing of the request itself


class Replay(Exception):
    """The request has been answered before."""

    def __init__(self, response: Response) -> None:
        self.response = response


async def claim(
    request: Request, made: Services, scope: Scope, linked_account_id: str | None, rights: Iterable[str]
) -> None:
    """Claim the request's idempotency key, if it has one, for a caller who may do what is asked.

    All keys of a tenant may hear an answer again, but of its browsers only those of one linked account.

    Raises:
        Replay: it was answered before.
        ApiError: 422 for a key that is none or belongs to another request, 409 while the first is under way.
    """
    keys = request.headers.getlist(HEADER)
    if request.method != "POST" or not keys or hasattr(request.state, "claim"):
        return
    if len(keys) > 1 or not VISIBLE_ASCII.fullmatch(keys[0]):
        raise ApiError(422, "invalid_idempotency_key", "an idempotency key is 1 to 255 visible ASCII characters")
    owner = TENANT if linked_account_id is None else browsers_of(linked_account_id)
    place = Place(scope, owner, keys[0])
    found = await made.answers.claim(place, await _fingerprint(request, rights), made.clock())
    if found is Refused.ANOTHER_REQUEST:
        raise ApiError(422, "idempotency_key_reused", "the idempotency key was used for another request")
    if found is Refused.IN_USE:
        raise ApiError(
            409, "idempotency_key_in_use", "the first request with this key is under way", headers={"retry-after": "1"}
        )
    if isinstance(found, KeptAnswer):
        raise Replay(await _again(made, place, found))
    request.state.claim = found


async def _fingerprint(request: Request, rights: Iterable[str]) -> str:
    """What makes a request the same one: also the account that its header names, and what its caller may do."""
    parts = [
        request.url.path.encode(),
        request.url.query.encode(),
        request.headers.get("linked_account_id", "").encode(),
        " ".join(sorted(rights)).encode(),
        await request.body(),
    ]
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()


async def _again(made: Services, place: Place, kept: KeptAnswer) -> Response:
    content = json.loads(await made.vault.open(place.scope, Kind.ANSWER, place.id, kept.sealed))
    headers = {**content["headers"], "idempotent-replayed": "true"}
    return Response(base64.b64decode(content["body"]), kept.status, headers)


class KeepsAnswers:
    """Keeps what a request with a claim is answered, before it is sent; or gives the claim up."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: ASGIScope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        made: Services = scope["app"].state.services
        begun: list[Message] = []
        body = bytearray()

        async def send_kept(message: Message) -> None:
            held = state.get("claim")
            if held is None:
                await send(message)
                return
            if message["type"] == "http.response.start":
                begun.append(message)
                return
            body.extend(message.get("body", b""))
            if not message.get("more_body", False):
                await _settle(made, held, begun[0], bytes(body))
                await send(begun[0])
                await send({"type": "http.response.body", "body": bytes(body)})

        try:
            await self._app(scope, receive, send_kept)
        except BaseException:
            if "claim" in state and not begun:
                await _give_up(made, state["claim"])
            raise


async def _settle(made: Services, held: Claim, start: Message, body: bytes) -> None:
    status = start["status"]
    if status >= 500 or status in NOT_KEPT:
        await _give_up(made, held)
        return
    headers = {name.decode(): value.decode("latin-1") for name, value in start["headers"]}
    kept = {name: headers[name] for name in KEPT_HEADERS if name in headers}
    content = json.dumps({"headers": kept, "body": base64.b64encode(body).decode()}).encode()
    try:
        sealed = await made.vault.seal(held.place.scope, Kind.ANSWER, held.place.id, content)
        await made.answers.keep(held, status, sealed)
    except (StoreUnavailable, VaultError):
        log.warning("an answer could not be kept for its idempotency key")  # it is true all the same


async def _give_up(made: Services, held: Claim) -> None:
    try:
        await made.answers.give_up(held)
    except StoreUnavailable:
        log.warning("an idempotency key stays claimed until its lease ends")


def add_idempotency(app: FastAPI) -> None:
    """For every route of the application."""
    app.add_middleware(KeepsAnswers)

    @app.exception_handler(Replay)
    async def on_replay(_: Request, replay: Replay) -> Response:
        return replay.response
