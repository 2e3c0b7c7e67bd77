"""A webhook endpoint's secret is rotated: for a while both verify, and nobody is shown what does not hold."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import select
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from store.database import utc_now
from store.tables import IDEMPOTENT_ANSWERS, WEBHOOK_ENDPOINTS
from tests.api.conftest import Everlink
from tests.api.test_endpoint_subscriptions import change_row, row_of
from tests.api.test_webhook_endpoints import V1, Receiver, add, receiver

__all__ = ["receiver"]


async def rotate(product: httpx.AsyncClient, endpoint_id: str, body: Any = None) -> dict[str, Any]:
    answer = await product.post(f"{V1}/{endpoint_id}/rotate-secret", json=body)
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    return dict(answer.json())


async def verifying(product: httpx.AsyncClient, receiver: Receiver, endpoint_id: str, secrets: list[str]) -> list[bool]:
    """Which of the secrets verify an event that is sent now."""
    assert (await product.post(f"{V1}/{endpoint_id}/test")).status_code == 202
    _, headers, body = await receiver.next()
    assert len(headers["webhook-signature"].split(" ")) <= 2

    def verifies(secret: str) -> bool:
        try:
            return bool(Webhook(secret).verify(body, headers))
        except WebhookVerificationError:
            return False

    return [verifies(secret) for secret in secrets]


async def test_former_secret_signs_beside_the_new_one_until_its_time_is_over(
    everlink: Everlink, product: httpx.AsyncClient, receiver: Receiver
) -> None:
    made = await add(product, url=receiver.url)
    path, secrets = f"{V1}/{made['id']}", [made["secret"]]
    assert made["previous_secret_until"] is None
    rotated = await rotate(product, made["id"])
    secrets.append(rotated.pop("secret"))
    assert secrets[1] not in secrets[:1] and rotated == (await product.get(path)).json()
    left = datetime.fromisoformat(rotated["previous_secret_until"]) - utc_now()
    assert timedelta(hours=23) < left <= timedelta(days=1)
    assert await verifying(product, receiver, made["id"], secrets) == [True, True]
    await change_row(everlink, made["id"], previous_secret_until=utc_now())
    assert await verifying(product, receiver, made["id"], secrets) == [False, True]
    assert (await product.get(path)).json()["previous_secret_until"] is None


async def test_second_rotation_keeps_the_last_secret_before_it_and_no_other(
    product: httpx.AsyncClient, receiver: Receiver
) -> None:
    made = await add(product, url=receiver.url)
    secrets = [made["secret"], *[(await rotate(product, made["id"]))["secret"] for _ in range(2)]]
    assert await verifying(product, receiver, made["id"], secrets) == [False, True, True]
    last = await rotate(product, made["id"], {"overlap_seconds": 0})
    assert last["previous_secret_until"] is None
    assert await verifying(product, receiver, made["id"], [*secrets, last["secret"]]) == [False, False, False, True]


async def test_of_rotations_at_once_every_answer_holds(
    everlink: Everlink, product: httpx.AsyncClient, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await add(product, url=receiver.url)
    seal, all_read = everlink.made.vault.seal, asyncio.Barrier(4)

    async def seal_together(*args: Any, **kwargs: Any) -> bytes:
        await asyncio.wait_for(all_read.wait(), 20)
        return await seal(*args, **kwargs)

    with monkeypatch.context() as together:
        together.setattr(everlink.made.vault, "seal", seal_together)
        answers = await asyncio.gather(*(product.post(f"{V1}/{made['id']}/rotate-secret") for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409]
    refused = [answer.json() for answer in answers if answer.status_code == 409]
    assert {one["error_code"] for one in refused} == {"secret_just_rotated"} and "whsec" not in str(refused)
    [new] = [answer.json()["secret"] for answer in answers if answer.status_code == 200]
    assert await verifying(product, receiver, made["id"], [made["secret"], new]) == [True, True]


async def test_rotation_that_is_sent_again_rotates_once_and_its_kept_answer_is_sealed(
    everlink: Everlink, product: httpx.AsyncClient
) -> None:
    made, key = await add(product), {"idempotency-key": uuid4().hex}
    first = await product.post(f"{V1}/{made['id']}/rotate-secret", headers=key)
    before = await row_of(everlink, made["id"])
    again = await product.post(f"{V1}/{made['id']}/rotate-secret", headers=key)
    assert again.content == first.content and again.headers["idempotent-replayed"] == "true"
    assert again.headers["cache-control"] == "no-store"
    assert await row_of(everlink, made["id"]) == before
    secret = first.json()["secret"]
    async with everlink.made.database.reading() as reading:
        rows = [(await reading.execute(select(table))).all() for table in (IDEMPOTENT_ANSWERS, WEBHOOK_ENDPOINTS)]
    assert secret not in repr(rows) and secret.removeprefix("whsec_") not in repr(rows)
    shown = [await product.get(V1), await product.get(f"{V1}/{made['id']}"), await product.get("/v1/export")]
    assert not any("whsec" in answer.text for answer in shown)


@pytest.mark.parametrize("seconds", [-1, 7 * 86400 + 1, 1e99, 0.5, "60", "soon", True, None, [1]], ids=str)
async def test_overlap_that_is_none_rotates_nothing(
    everlink: Everlink, product: httpx.AsyncClient, seconds: object
) -> None:
    made = await add(product)
    before = await row_of(everlink, made["id"])
    body = json.dumps({"overlap_seconds": seconds}).encode()
    headers = {"content-type": "application/json"}
    answer = await product.post(f"{V1}/{made['id']}/rotate-secret", content=body, headers=headers)
    assert (answer.status_code, answer.json()["error_code"]) == (422, "invalid_request")
    assert await row_of(everlink, made["id"]) == before


async def test_longest_overlap_is_a_week(product: httpx.AsyncClient) -> None:
    made = await add(product)
    rotated = await rotate(product, made["id"], {"overlap_seconds": 7 * 86400})
    left = datetime.fromisoformat(rotated["previous_secret_until"]) - utc_now()
    assert timedelta(days=6, hours=23) < left <= timedelta(days=7)
