"""Delivers an event to a webhook endpoint, signed by Standard Webhooks, and where it asks also as the seed."""

from __future__ import annotations

import json
import logging
from contextlib import suppress
from datetime import timedelta
from time import monotonic

from temporalio import activity
from temporalio.service import RPCError

from activities.shared import Shared
from activities.turns import Busy
from everlink.contract import Activity, AttemptOutcome, AttemptTask, CloseDeliveryTask, DeliveryTask
from providers.headers import is_reserved
from providers.http import Answer, RequestFailed, glance
from providers.signature import LEGACY_HEADER, legacy_sign, sign
from store.deliveries import GONE, DueDelivery, disabling
from store.scope import Scope
from store.tables import DeliveryAttempt
from store.vault import Kind

MAX_ANSWER_BYTES = 20 * 1024

log = logging.getLogger("everlink.webhooks")


class DeliverActivities:
    def __init__(self, shared: Shared) -> None:
        self._shared = shared

    @activity.defn(name=Activity.DELIVER_WEBHOOK)
    async def deliver_webhook(self, task: AttemptTask) -> AttemptOutcome:
        """One attempt. Only a 2xx is success; a redirect is not followed."""
        due = await self._shared.deliveries.due(task.delivery)
        if due is None:
            return AttemptOutcome(stop=True, closed=True, note="nothing is left to send")
        if not due.is_enabled:
            note = "the endpoint is disabled"
            if await self._shared.deliveries.refused(task.delivery, note, self._shared.clock()):
                return AttemptOutcome(stop=True, closed=True, note=note)
            return AttemptOutcome(deferred=True, retry_after=1.0, note="the endpoint was disabled a moment ago")
        try:
            with self._shared.turns.turn(task.delivery.endpoint_id):
                attempt, retry_after = await self._post(task, due)
        except Busy as busy:
            next_at = self._shared.clock() + timedelta(seconds=busy.seconds)
            await self._shared.deliveries.postponed(task.delivery, next_at)
            return AttemptOutcome(deferred=True, retry_after=busy.seconds, note=str(busy))
        return await self._attempted(task, attempt, retry_after)

    @activity.defn(name=Activity.CLOSE_DELIVERY)
    async def close_delivery(self, task: CloseDeliveryTask) -> None:
        """Record how the delivery ended, where its attempt did not: that of an older worker. Idempotent."""
        now = self._shared.clock()
        await self._shared.deliveries.closed(task.delivery, delivered=task.delivered, note=task.note, now=now)

    async def _attempted(
        self, task: AttemptTask, attempt: DeliveryAttempt, retry_after: float | None
    ) -> AttemptOutcome:
        """Keep how an attempt went. The last one ends the delivery, and so does one that disables the endpoint."""
        now = self._shared.clock()
        delivered, gone = attempt.status is not None and 200 <= attempt.status < 300, attempt.status == GONE
        outcome = AttemptOutcome(delivered=delivered, stop=gone, retry_after=retry_after, note=attempt.note)
        next_at = None
        if task.next_delay is not None and not delivered and not gone:
            next_at = now + timedelta(seconds=outcome.wait(task.next_delay))
        announced = await self._shared.deliveries.attempted(
            task.delivery, attempt, delivered=delivered, next_at=next_at, now=now
        )
        if announced is None:
            return outcome.model_copy(update={"closed": next_at is None})
        log.warning("endpoint %s of %s was disabled: %s", attempt.endpoint_id, attempt.org_id, attempt.note)
        with suppress(RPCError):  # upkeep does it
            await self._shared.start_deliveries(Scope.of(task.delivery), announced)
        return outcome.model_copy(update={"stop": True, "closed": True, "note": disabling(attempt.note)})

    async def _post(self, task: AttemptTask, due: DueDelivery) -> tuple[DeliveryAttempt, float | None]:
        """Send it once: what is to be kept of that, and how long the endpoint asks to be left alone."""
        delivery, scope, now = task.delivery, Scope.of(task.delivery), self._shared.clock()
        body = json.dumps(due.body, separators=(",", ":"), ensure_ascii=False).encode()
        ours = await self._headers(delivery, due, body)
        custom = await self._shared.custom_headers(scope, delivery.endpoint_id, due.sealed_headers, due.headers)
        headers = {name: value for name, value in custom.items() if not is_reserved(name)} | ours
        answer, note, started = None, "", monotonic()
        try:
            answer = await glance(
                self._shared.http, due.method, due.url, content=body, headers=headers, max_bytes=MAX_ANSWER_BYTES
            )
        except RequestFailed as failure:
            note = str(failure)
        attempt = DeliveryAttempt(
            event_id=delivery.event_id,
            endpoint_id=delivery.endpoint_id,
            round=delivery.round,
            attempt=task.attempt,
            **scope._asdict(),
            at=now,
            seconds=round(monotonic() - started, 3),
            url=due.url,
            method=due.method,
            request_headers=ours,
            status=answer.status if answer is not None else None,
            note=f"HTTP {answer.status}" if answer is not None else note,
            answer=await self._sealed(delivery, due, answer) if answer is not None else None,
        )
        return attempt, answer.retry_after(self._shared.clock()) if answer is not None else None

    async def _sealed(self, delivery: DeliveryTask, due: DueDelivery, answer: Answer) -> bytes:
        """What is kept of an answer: a receiver may send back what it was sent."""
        room, headers = MAX_ANSWER_BYTES, dict[str, str]()
        for name, value in answer.headers.items():
            room -= len(name) + len(value)
            if room >= 0:
                headers[name] = value
        body = answer.body[: max(room, 0)]
        said = {
            "headers": headers,
            "body": body.decode(errors="replace"),
            "complete": answer.complete and len(body) == len(answer.body) and room >= 0,
        }
        scope, owner = Scope.of(delivery), delivery.endpoint_id
        secret = json.dumps(said).encode()
        return await self._shared.vault.seal(scope, Kind.WEBHOOK_ANSWER, owner, secret, like=due.secret)

    async def _headers(self, delivery: DeliveryTask, due: DueDelivery, body: bytes) -> dict[str, str]:
        """Ours: they vouch for these very bytes. While a former secret may still be in use, both sign."""
        now, scope = self._shared.clock(), Scope.of(delivery)
        sealed, timestamp = [due.secret], int(now.timestamp())
        if due.previous_secret is not None and due.previous_secret_until and due.previous_secret_until > now:
            sealed.append(due.previous_secret)
        secrets = [await self._shared.vault.open(scope, Kind.WEBHOOK_SECRET, delivery.endpoint_id, s) for s in sealed]
        headers = {
            "content-type": "application/json",
            "accept-encoding": "identity",
            "webhook-id": delivery.event_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": " ".join(sign(secret, delivery.event_id, timestamp, body) for secret in secrets),
        }
        if due.legacy_secret is not None:
            legacy = await self._shared.vault.open(
                scope, Kind.LEGACY_WEBHOOK_SECRET, delivery.endpoint_id, due.legacy_secret
            )
            headers[LEGACY_HEADER] = legacy_sign(legacy, body)
        return headers
