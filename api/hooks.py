"""What providers send of themselves: proven, kept, answered; then somebody is woken who passes it on."""

from __future__ import annotations

import asyncio
import hashlib
import json
from datetime import datetime

from starlette.background import BackgroundTask
from starlette.responses import JSONResponse, Response

from api.errors import unavailable
from api.our_client import opened
from api.services import Services
from api.starting import start_or_leave
from everlink.contract import InboxTask, Workflow
from providers.events import Challenge, Events
from providers.inbound.incoming import Incoming, Said, read
from providers.inbound.keysets import KeysUnavailable
from providers.inbound.reading import Announced, Ended, announced, asks, reply
from providers.inbound.verify import Proofs, verify
from store.inbox import NewProviderEvent
from store.scope import Scope
from store.starting import inbox_start_options
from store.tables import Application
from store.tenants import CLIENT_SECRET, SIGNING_SECRET


async def take(made: Services, events: Events, application: Application, incoming: Incoming) -> Response:
    """Answer what a provider sent to an application. Nothing is done before it is proven, and kept.

    Raises:
        Refused: it is not the provider's.
        ApiError: 503, the provider's keys cannot be fetched now.
    """
    challenge = events.challenge
    if challenge is not None and not challenge.is_signed and asks(challenge, said := read(incoming, events)):
        return _reply(challenge, said, "")
    client_secrets = await opened(made, application, CLIENT_SECRET)
    proofs = Proofs(application.client_id, await opened(made, application, SIGNING_SECRET), client_secrets)
    try:
        said = await verify(events, incoming, proofs, made.key_sets, made.clock())
    except KeysUnavailable:
        raise unavailable("keys_unavailable", "the provider's keys cannot be fetched") from None
    if challenge is not None and challenge.is_signed and asks(challenge, said):
        return _reply(challenge, said, next(iter(proofs.secrets(events)), ""))
    told = announced(events, incoming, said)
    if told is None or not await _keep(made, events, application, incoming, told):
        return Response(status_code=events.status)
    task = InboxTask(org_id=application.org_id, environment=application.environment, slug=application.slug)
    return Response(status_code=events.status, background=BackgroundTask(wake, made, task))


async def wake(made: Services, task: InboxTask) -> None:
    """Signal an inbox, without waiting for it. Whoever comes while a signal is on its way shares the next."""
    made.to_wake.add(task)
    if task not in made.waking:
        made.waking[task] = asyncio.create_task(_wake(made, task))


async def _wake(made: Services, task: InboxTask) -> None:
    try:
        while task in made.to_wake:
            made.to_wake.discard(task)
            await start_or_leave(made, Workflow.INBOX, inbox_start_options(task))
    finally:
        del made.waking[task]


def _reply(challenge: Challenge, said: Said, secret: str) -> Response:
    if challenge.status == 204:
        return Response(status_code=204, media_type="application/json")
    return JSONResponse(reply(challenge, said, secret))


async def _keep(made: Services, events: Events, application: Application, incoming: Incoming, told: Announced) -> bool:
    """Whether it is new."""
    if not events.is_proven:
        return any([await _keep_suspicion(made, application, one, told.occurred_at) for one in told.ended])
    event = NewProviderEvent(
        event_id=told.id,
        body_sha256=_hash(incoming.body),
        ended=[{"kind": one.kind.value, "match": one.match} for one in told.ended],
        occurred_at=told.occurred_at,
    )
    scope = Scope(application.org_id, application.environment)
    return await made.inbox.receive(scope, application.slug, event, made.clock())


async def _keep_suspicion(made: Services, application: Application, one: Ended, occurred_at: datetime | None) -> bool:
    """Of what is not proven, only what concerns somebody is kept, and once a minute.

    The rest of the request does not count, nor do several accounts at once: whoever varies them would be asking for
    as many looks.
    """
    scope, now = Scope(application.org_id, application.environment), made.clock()
    alone = all(len(values) == 1 for values in one.match.values())
    if not alone or not await made.inbox.concerns(scope, application.slug, one.match):
        return False
    ended = {"kind": one.kind.value, "match": one.match}
    event_id = _hash(json.dumps([ended, int(now.timestamp()) // 60], sort_keys=True).encode())
    event = NewProviderEvent(event_id=event_id, body_sha256=event_id, ended=[ended], occurred_at=occurred_at)
    return await made.inbox.receive(scope, application.slug, event, now)


def _hash(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()
