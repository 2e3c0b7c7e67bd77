"""Everlink's API as far as it concerns one connection, in a test's process."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from contextlib import suppress
from http import HTTPStatus
from typing import Any

import httpx
from pydantic import BaseModel

from everlink.contract import AuthType, ConnectionStatus, ProviderEventKind, ReauthReason, Verdict
from everlink.models import ReconnectLink, Refreshed
from everlink.testing.connection import FakeConnection, Report

URL = "http://everlink.test"
REASONS = {
    ProviderEventKind.REVOKED: ReauthReason.ACCESS_REVOKED,
    ProviderEventKind.UNINSTALLED: ReauthReason.APP_UNINSTALLED,
}
WORDS = {
    "connection_not_found": "there is no such connection",
    "connection_disconnected": "the connection has ended",
    "reauth_required": "the customer has to reconnect",
}


class FakeApi:
    """Answers the requests of the real client."""

    def __init__(self, connections: Mapping[str, FakeConnection]) -> None:
        self._connections = connections

    async def answer(self, request: httpx.Request) -> httpx.Response:
        """Raises NotImplementedError for what there is none of here."""
        match request.method, *request.url.path.strip("/").split("/"):
            case method, "v1", "connections", connection_id, *action:
                connection = self._connections.get(connection_id)
                if connection is None:
                    return _error(404, "connection_not_found")
                match method, *action:
                    case ["GET"]:
                        return _ok(connection.answer())
                    case ["GET", "token"]:
                        return _refusal(connection, **_link(connection)) or _ok(connection.credential)
                    case ["GET", "wait"]:
                        return await _wait(connection, request.url.params)
                    case ["POST", "refresh"]:
                        return _refresh(connection)
                    case ["POST", "report"]:
                        return _report(connection, json.loads(request.content))
                    case ["POST", "reconnect"]:
                        return _reconnect(connection)
                    case ["DELETE"]:
                        connection.disconnect()
                        return _ok(connection.answer())
        raise NotImplementedError(f"FakeEverlink has no {request.method} {request.url.path}")


async def _wait(connection: FakeConnection, asked: httpx.QueryParams) -> httpx.Response:
    status = asked.get("status")
    after = int(asked["after"]) if "after" in asked else None if status else connection.answer().sequence

    def is_enough() -> bool:
        now = connection.answer()
        return status in (None, now.status) and (after is None or now.sequence > after)

    with suppress(TimeoutError):
        async with asyncio.timeout(float(asked.get("timeout", 30))):
            await connection.until(is_enough)
    return _ok(connection.answer())


def _refresh(connection: FakeConnection) -> httpx.Response:
    """What is suspected is verified, and not renewed: as where the report was a moment ago."""
    refusal = _refusal(connection)
    if refusal is not None and not _may_be_mended(connection):
        return refusal
    is_renewed = connection.answer().auth_type is AuthType.OAUTH2 and not connection.is_suspected
    connection.notice()
    if connection.is_alive and is_renewed:
        connection.rotate()
    now, credential = connection.answer(), connection.credential
    return _ok(
        Refreshed(
            status=now.status,
            health=now.health,
            generation=credential.generation,
            expires_at=credential.expires_at,
            verdict=Verdict.OK if connection.is_alive else Verdict.DEAD,
        )
    )


def _may_be_mended(connection: FakeConnection) -> bool:
    now = connection.answer()
    return now.status is ConnectionStatus.REAUTH_REQUIRED and now.reason is not ReauthReason.APPLICATION_DELETED


def _report(connection: FakeConnection, told: Mapping[str, Any]) -> httpx.Response:
    event = ProviderEventKind(told["event"]) if told.get("event") else None
    generation = told.get("generation")
    connection.reports.append(Report(generation, event))
    refusal = _refusal(connection)
    if refusal is not None:
        return refusal
    if event is not None:
        connection.revoke(REASONS[event])
    elif generation in (None, connection.credential.generation):
        connection.notice()
        connection.is_suspected = connection.is_alive
    return httpx.Response(202, json={"accepted": True})


def _reconnect(connection: FakeConnection) -> httpx.Response:
    if connection.status is ConnectionStatus.DISCONNECTED:
        return _error(409, "connection_disconnected")
    return _ok(ReconnectLink(connect_url=_address(connection)))


def _refusal(connection: FakeConnection, **fields: str) -> httpx.Response | None:
    match connection.status:
        case ConnectionStatus.REAUTH_REQUIRED:
            return _error(409, "reauth_required", reason=connection.answer().reason, **fields)
        case ConnectionStatus.DISCONNECTED:
            return _error(409, "connection_disconnected")
        case _:
            return None


def _link(connection: FakeConnection) -> dict[str, str]:
    """For the customer, where a link mends the connection."""
    now = connection.answer()
    if now.auth_type is not AuthType.OAUTH2 or now.reason is ReauthReason.APPLICATION_DELETED:
        return {}
    return {"reconnect_url": _address(connection)}


def _address(connection: FakeConnection) -> str:
    return f"{URL}/reconnect/{connection.id}"


def _ok(answer: BaseModel) -> httpx.Response:
    return httpx.Response(200, json=answer.model_dump(mode="json"))


def _error(status: int, code: str, **fields: Any) -> httpx.Response:
    body = {
        "status_code": status,
        "http_error_type": HTTPStatus(status).phrase,
        "error_code": code,
        "message": WORDS[code],
        "request_id": "fake",
        **fields,
    }
    return httpx.Response(status, json=body)
