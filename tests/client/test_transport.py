"""What the client does about answers that a good server seldom gives."""

from __future__ import annotations

import httpx
import pytest

from everlink import Client, EverlinkError, NotFound, ReauthRequired, Unavailable

REAUTH = {
    "status_code": 409,
    "http_error_type": "Conflict",
    "error_code": "reauth_required",
    "message": "the customer has to reconnect",
    "request_id": "r1",
    "reason": "access_revoked",
    "reconnect_url": "https://everlink.example/connect/start/x",
}


class Server:
    """Answers one after the other, and keeps what it was asked."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def client(self) -> Client:
        http = httpx.AsyncClient(transport=httpx.MockTransport(self))
        return Client("https://everlink.example/", "tk_x_y", http=http)


REFRESHED = {"status": "active", "health": "ok", "generation": 2, "expires_at": None, "verdict": "ok"}
AT_ONCE = {"retry-after": "0"}


async def test_what_fails_for_a_moment_is_tried_again_under_the_same_idempotency_key() -> None:
    server = Server(
        httpx.ConnectError("gone"),
        httpx.Response(503, json={"error_code": "temporal_unavailable"}, headers=AT_ONCE),
        httpx.Response(200, json=REFRESHED),
    )
    refreshed = await server.client().connections.refresh("con_1")
    assert refreshed.generation == 2
    keys = {request.headers["idempotency-key"] for request in server.requests}
    assert len(server.requests) == 3 and len(keys) == 1


CONNECTION = {
    "id": "con_1",
    "linked_account_id": "acme",
    "slug": "sandbox",
    "identifier": "ada@acme.example",
    "display_name": None,
    "auth_type": "oauth2",
    "status": "active",
    "health": "ok",
    "reason": None,
    "status_since": "2030-01-01T00:00:00Z",
    "connected_at": "2030-01-01T00:00:00Z",
    "sequence": 1,
    "workflow_url": "https://temporal.example",
}


async def test_a_long_poll_may_take_its_time_beside_that_of_any_request() -> None:
    server = Server(httpx.Response(200, json=CONNECTION))
    await server.client().connections.wait("con_1", after=1, timeout=60)
    assert server.requests[0].extensions["timeout"]["read"] > 60


async def test_a_try_that_goes_on_unseen_is_waited_for() -> None:
    """The connection broke, and the API still works on what it carried."""
    under_way = httpx.Response(409, json={"error_code": "idempotency_key_in_use"}, headers=AT_ONCE)
    server = Server(httpx.ReadError("reset"), under_way, httpx.Response(200, json=REFRESHED))
    assert (await server.client().connections.refresh("con_1")).generation == 2
    with pytest.raises(Unavailable):
        await Server(*[under_way] * 3).client().connections.refresh("con_1")


async def test_what_is_not_valid_is_named() -> None:
    details = [{"loc": ["body", "events", 0], "type": "enum", "msg": "Input should be 'Connection Expired'"}]
    body = {"error_code": "invalid_request", "message": "the request is not valid", "details": details}
    with pytest.raises(EverlinkError, match=r"not valid: body\.events\.0: Input should be 'Connection Expired'"):
        await Server(httpx.Response(422, json=body)).client().connections.counts()


async def test_two_calls_are_two_requests() -> None:
    server = Server(httpx.Response(200, json=REFRESHED), httpx.Response(200, json=REFRESHED))
    client = server.client()
    await client.connections.refresh("con_1")
    await client.connections.refresh("con_1")
    first, second = (request.headers["idempotency-key"] for request in server.requests)
    assert first != second


async def test_what_goes_on_failing_is_told() -> None:
    busy = [httpx.Response(503, json={"error_code": "refresh_failed", "message": "m"}, headers=AT_ONCE)] * 3
    with pytest.raises(Unavailable) as failed:
        await Server(*busy).client().connections.token("con_1")
    assert (failed.value.status, failed.value.error_code) == (503, "refresh_failed")


async def test_an_error_of_the_caller_is_not_tried_again() -> None:
    server = Server(httpx.Response(404, json={"error_code": "connection_not_found", "message": "there is no such"}))
    with pytest.raises(NotFound):
        await server.client().connections.get("con_1")
    assert len(server.requests) == 1


async def test_reauth_required_says_why_and_how_it_is_mended() -> None:
    with pytest.raises(ReauthRequired) as dead:
        await Server(httpx.Response(409, json=REAUTH)).client().connections.token("con_1")
    assert dead.value.reason == "access_revoked"
    assert dead.value.reconnect_url == "https://everlink.example/connect/start/x"
    assert dead.value.request_id == "r1"


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (httpx.Response(200, text="<html>"), EverlinkError),
        (httpx.Response(502, text="<html>"), Unavailable),
        (httpx.Response(400, json=["no", "object"]), EverlinkError),
        (httpx.Response(302, headers={"location": "https://evil.example"}, json={}), EverlinkError),
    ],
)
async def test_what_no_everlink_answers_is_an_error(answer: httpx.Response, kind: type[EverlinkError]) -> None:
    server = Server(answer)
    with pytest.raises(EverlinkError) as failed:
        await server.client().connections.get("con_1")
    assert type(failed.value) is kind
    assert len(server.requests) == 1


async def test_an_id_stays_one_part_of_the_path() -> None:
    server = Server(httpx.Response(404, json={}))
    with pytest.raises(NotFound):
        await server.client().connections.get("../v1/api-keys?x=1")
    assert server.requests[0].url.raw_path == b"/v1/connections/..%2Fv1%2Fapi-keys%3Fx%3D1"


async def test_secrets_are_not_in_what_is_shown_of_an_answer() -> None:
    token = {
        "connection_id": "con_1",
        "access_token": "planted",
        "token_type": "Bearer",
        "fields": {"api_key": "planted"},
        "extra": {"id_token": "planted"},
        "expires_at": None,
        "ends_at": None,
        "generation": 1,
    }
    found = await Server(httpx.Response(200, json=token)).client().connections.token("con_1")
    assert found.access_token == "planted"
    assert "planted" not in repr(found)


async def test_nobody_there() -> None:
    async with Client("http://127.0.0.1:9", "tk_x_y") as client:
        with pytest.raises(Unavailable) as failed:
            await client.connections.counts()
    assert failed.value.status is None
