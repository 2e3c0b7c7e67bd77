"""Delivers an event to a webhook endpoint, signed by Standard Webhooks, and where it asks also as the seed."""

from __future__ import annotations

import json
from datetime import datetime

from temporalio import activity

from activities.shared import Shared
from everlink.contract import Activity, AttemptOutcome, AttemptTask, CloseDeliveryTask
from providers.http import RequestFailed, send
from providers.signature import LEGACY_HEADER, legacy_sign, sign
from store.scope import Scope
from store.vault import Kind
from store.webhooks import DueDelivery

MAX_ANSWER_BYTES = 20 * 1024


class DeliverActivities:
    def __init__(self, shared: Shared) -> None:
        self._shared = shared

    @activity.defn(name=Activity.DELIVER_WEBHOOK)
    async def deliver_webhook(self, task: AttemptTask) -> AttemptOutcome:
        """One attempt. Only a 2xx is success; a redirect is not followed."""
        delivery, scope = task.delivery, Scope.of(task.delivery)
        due = await self._shared.webhooks.due(scope, delivery.event_id, delivery.endpoint_id)
        if due is None or not due.is_enabled:
            return AttemptOutcome(stop=True, note="the endpoint was removed or disabled")
        outcome = await self._post(task, scope, due)
        await self._shared.webhooks.attempted(
            scope,
            delivery.event_id,
            delivery.endpoint_id,
            attempts=task.attempt,
            note=outcome.note,
            now=self._shared.clock(),
            next_delay=None if outcome.delivered or outcome.stop else task.next_delay,
        )
        return outcome

    @activity.defn(name=Activity.CLOSE_DELIVERY)
    async def close_delivery(self, task: CloseDeliveryTask) -> None:
        """Record how the delivery ended. Idempotent."""
        delivery = task.delivery
        await self._shared.webhooks.closed(
            Scope.of(delivery),
            delivery.event_id,
            delivery.endpoint_id,
            delivered=task.delivered,
            note=task.note,
            now=self._shared.clock(),
        )

    async def _post(self, task: AttemptTask, scope: Scope, due: DueDelivery) -> AttemptOutcome:
        now = self._shared.clock()
        body = json.dumps(due.body, separators=(",", ":"), ensure_ascii=False).encode()
        signatures = await self._signatures(task, scope, due, body, now)
        endpoint_id = task.delivery.endpoint_id
        custom = await self._shared.custom_headers(scope, endpoint_id, due.sealed_headers, due.headers)
        # Ours come last, so that no custom header replaces them.
        headers = {**custom, "content-type": "application/json", **signatures}
        try:
            answer = await send(
                self._shared.http,
                due.method,
                due.url,
                content=body,
                headers=headers,
                max_bytes=MAX_ANSWER_BYTES,
            )
        except RequestFailed as failure:
            return AttemptOutcome(note=str(failure))
        if 200 <= answer.status < 300:
            return AttemptOutcome(delivered=True, note=f"delivered (HTTP {answer.status})")
        if answer.status == 410:
            await self._shared.webhooks.change(scope, task.delivery.endpoint_id, {"is_enabled": False})
            return AttemptOutcome(stop=True, note="the endpoint is gone (HTTP 410) and was disabled")
        return AttemptOutcome(retry_after=answer.retry_after(now), note=f"the endpoint answered HTTP {answer.status}")

    async def _signatures(
        self, task: AttemptTask, scope: Scope, due: DueDelivery, body: bytes, now: datetime
    ) -> dict[str, str]:
        """The headers that vouch for these very bytes."""
        event_id, endpoint_id, open_ = task.delivery.event_id, task.delivery.endpoint_id, self._shared.vault.open
        secret, timestamp = (
            await open_(scope, Kind.WEBHOOK_SECRET, endpoint_id, due.sealed_secret),
            int(now.timestamp()),
        )
        headers = {
            "webhook-id": event_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": sign(secret, event_id, timestamp, body),
        }
        if due.sealed_legacy_secret is not None:
            legacy = await open_(scope, Kind.LEGACY_WEBHOOK_SECRET, endpoint_id, due.sealed_legacy_secret)
            headers[LEGACY_HEADER] = legacy_sign(legacy, body)
        return headers
