"""The product's webhook endpoints: one that stays, and three that change when half of the work is done."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from enum import StrEnum

from everlink.contract import SUBSCRIBABLE
from tests.kills.listener import Listener
from tests.kills.product import Product

ENDPOINTS = "/v1/webhook-endpoints"


class Course(StrEnum):
    """What becomes of an endpoint."""

    STAYS = "stays enabled"
    DISABLED = "disabled midway"
    DELETED = "deleted midway"
    ENABLED = "enabled midway"

    @property
    def path(self) -> str:
        return f"/{self.name.lower()}"


@dataclass
class Endpoint:
    course: Course
    id: str
    asked_at: float = 0.0  # when its change was first asked for, and
    changed_at: float = 0.0  # when it had been answered


async def register(product: Product, listener: Listener) -> list[Endpoint]:
    endpoints = []
    for course in Course:
        body = {
            "url": f"{listener.url}{course.path}",
            "events": list(SUBSCRIBABLE),
            "is_enabled": course is not Course.ENABLED,
        }
        created = await product.ask("POST", ENDPOINTS, body)
        listener.secrets[course.path] = created["secret"]
        endpoints.append(Endpoint(course, created["id"]))
    return endpoints


async def change_midway(product: Product, endpoints: list[Endpoint]) -> None:
    while product.made.total() < product.changes // 2:
        await asyncio.sleep(0.1)
    for endpoint in endpoints:
        endpoint.asked_at = time.time()
        path = f"{ENDPOINTS}/{endpoint.id}"
        match endpoint.course:
            case Course.DISABLED:
                await product.ask("PATCH", path, {"is_enabled": False})
            case Course.ENABLED:
                await product.ask("PATCH", path, {"is_enabled": True})
            case Course.DELETED:
                await product.ask("DELETE", path, done="webhook_endpoint_not_found")
        endpoint.changed_at = time.time()
