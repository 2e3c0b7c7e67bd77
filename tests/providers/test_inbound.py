"""Each way of signing: what is the provider's is taken; forged, altered, replayed and old requests are not."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from time import process_time
from typing import Any

import httpx
import pytest
from pydantic import TypeAdapter, ValidationError

from providers.events import Events, Signature
from providers.guard import TargetGuard
from providers.http import make_client
from providers.inbound import keysets
from providers.inbound.incoming import Refused, Said, read
from providers.inbound.keysets import KeySets, KeysUnavailable
from providers.inbound.reading import Announced, announced
from providers.inbound.verify import Proofs, verify
from tests.providers.signing import (
    CLIENT_ID,
    CLIENT_SECRET,
    ED25519,
    NOW,
    OTHER_RSA,
    SECRET,
    Sent,
    base64_hmac,
    base64url,
    basic,
    hex_hmac,
    hs256,
    jwks,
    rs256,
    signed_request,
)

PROOFS = Proofs(CLIENT_ID, (SECRET,), (CLIENT_SECRET,))
PUBLIC_KEY = ED25519.public_key().public_bytes_raw().hex()
BODY = b'{"team": "T1", "at": 1772600767000}'
STAMP = str(int(NOW.timestamp()))
ISSUER = "https://issuer.example"
SET = {"iss": ISSUER, "aud": CLIENT_ID, "iat": int(NOW.timestamp()), "jti": "one", "events": {"gone": {"sub": "u"}}}
JWT = {"exp": NOW.timestamp() + 300, "iat": NOW.timestamp()}


def events(signature: dict[str, Any], **given: Any) -> Events:
    kind = "suspect" if signature["scheme"] in ("none", "jwt") else "revoked"
    rules = [{"kind": kind, "match": {"account": "body.team"}}]
    return Events.model_validate({"signature": signature, "rules": rules, "setup": "here", "source": "test", **given})


class Keys(KeySets):
    """What is published, without a network."""

    def __init__(self, *published: dict[str, Any]) -> None:
        self.published = list(published)
        self.asked: list[bool] = []

    async def get(self, url: str, *, newer: bool = False) -> Any:
        self.asked.append(newer)
        at = min(len(self.asked), len(self.published)) - 1
        return keysets.KeySet.import_key_set(self.published[at])  # type: ignore[arg-type]


async def said(entry: Events, sent: Sent, proofs: Proofs = PROOFS, **when: float) -> Said:
    return await verify(entry, sent.incoming(), proofs, Keys(jwks()), NOW + timedelta(**when))


async def is_refused(entry: Events, sent: Sent, proofs: Proofs = PROOFS, **when: float) -> bool:
    try:
        await said(entry, sent, proofs, **when)
    except Refused:
        return True
    return False


SLACK = events(
    {
        "scheme": "hmac",
        "header": "x-signature",
        "prefix": "v0=",
        "signed": "v0:{timestamp}:{body}",
        "timestamp": {"at": "header.x-time"},
    }
)
STRIPE = events(
    {
        "scheme": "hmac",
        "header": "x-signature",
        "part": "v1",
        "signed": "{timestamp}.{body}",
        "timestamp": {"at": "part.t"},
    }
)
LINEAR = events({"scheme": "hmac", "header": "x-signature", "timestamp": {"at": "body.at", "unit": "ms"}})
SQUARE = events({"scheme": "hmac", "header": "x-signature", "encoding": "base64", "signed": "{url}{body}"})
EVERYTHING = events(
    {
        "scheme": "hmac",
        "header": "x-signature",
        "algorithm": "sha512",
        "encoding": "base64",
        "signed": "{method}{url}{id}{timestamp}{body}",
        "id_header": "x-id",
        "timestamp": {"at": "header.x-time", "unit": "iso"},
        "secret": "client_secret",
    }
)
GITHUB = events({"scheme": "hmac", "header": "x-signature", "prefix": "sha1=", "algorithm": "sha1"})
DISCORD = events(
    {"scheme": "ed25519", "header": "x-signature", "signed": "{timestamp}{body}", "timestamp": {"at": "header.x-time"}}
)


def signed(value: str, *more: tuple[str, str], body: bytes = BODY) -> Sent:
    return Sent(body, (("x-signature", value), *more))


TIME = ("x-time", STAMP)
WHOLE = b"POST" + Sent().url.encode() + b"id-1" + NOW.isoformat().encode() + BODY
SIGNED: dict[str, tuple[Events, Sent]] = {
    "slack": (SLACK, signed("v0=" + hex_hmac(SECRET, f"v0:{STAMP}:".encode() + BODY), TIME)),
    "stripe": (STRIPE, signed(f"t={STAMP},v1={hex_hmac(SECRET, f'{STAMP}.'.encode() + BODY)},v0=ab")),
    "linear": (LINEAR, signed(hex_hmac(SECRET, BODY))),
    "square": (SQUARE, signed(base64_hmac(SECRET, Sent().url.encode() + BODY))),
    "github": (GITHUB, signed("sha1=" + hex_hmac(SECRET, BODY, "sha1"))),
    "everything": (
        EVERYTHING,
        signed(base64_hmac(CLIENT_SECRET, WHOLE, "sha512"), ("x-time", NOW.isoformat()), ("x-id", "id-1")),
    ),
    "discord": (DISCORD, signed(ED25519.sign(STAMP.encode() + BODY).hex(), TIME)),
}
OTHERS: dict[str, tuple[Events, Sent]] = {
    "jwt": (events({"scheme": "jwt"}), Sent(BODY, (("authorization", hs256(JWT)),))),
    "set": (
        events({"scheme": "security_event_token", "issuer": [ISSUER], "jwks_url": "https://issuer.example/keys"}),
        Sent(rs256(SET)),
    ),
    "signed_request": (
        events({"scheme": "signed_request"}, form=True),
        Sent(signed_request({"algorithm": "HMAC-SHA256", "user_id": "u"})),
    ),
    "basic": (events({"scheme": "basic"}), Sent(BODY, (("authorization", basic()),))),
    "token": (
        events({"scheme": "token", "header": "x-token", "prefix": "Token "}),
        Sent(BODY, (("x-token", f"Token {SECRET}"),)),
    ),
}
ALL = {**SIGNED, **OTHERS}
STRANGER = Proofs("another-client", ("another-secret-that-is-long-enough-too",), ("another-client-secret-long-enough",))


def proofs_for(entry: Events) -> Proofs:
    return replace(PROOFS, signing_secrets=(PUBLIC_KEY,)) if entry is DISCORD else PROOFS


def each(cases: dict[str, tuple[Events, Sent]]) -> Callable[..., Any]:
    return pytest.mark.parametrize(("entry", "sent"), [pytest.param(*one, id=name) for name, one in cases.items()])


@each(ALL)
async def test_what_the_provider_signed_is_taken(entry: Events, sent: Sent) -> None:
    assert not await is_refused(entry, sent, proofs_for(entry))


@each(ALL)
async def test_nothing_of_a_stranger_is_taken(entry: Events, sent: Sent) -> None:
    assert await is_refused(entry, sent, STRANGER)
    assert await is_refused(entry, sent, Proofs(None))


@each({name: one for name, one in ALL.items() if name not in ("set", "discord")})
async def test_secret_before_is_tried_as_well(entry: Events, sent: Sent) -> None:
    both = Proofs(
        CLIENT_ID, ("the-new-signing-secret-long-enough", SECRET), ("the-new-client-secret-longer", CLIENT_SECRET)
    )
    assert not await is_refused(entry, sent, both)


@each(ALL)
async def test_no_bit_of_the_proof_can_be_changed(entry: Events, sent: Sent) -> None:
    """Of a header's proof each character is changed, one after the other; of a body's, a few."""
    proofs = proofs_for(entry)
    name = next((name for name, _ in sent.headers if name in ("x-signature", "authorization", "x-token")), None)
    text = sent.header(name) if name else sent.body.decode()
    start = text.index("v1=") + 3 if "v1=" in text else len(text.partition(" ")[0] + " ") if " " in text else 0
    end = text.index(",v0") if ",v0" in text else len(text)
    for at in range(start, end, 1 if name else max(1, len(text) // 60)):
        other = "1" if text[at] == "0" else "0"
        if text[at] == "=" or (at == end - 1 and entry.signature.scheme not in ("token", "basic")):
            other = "!"  # the last letter of base64 may have bits that mean nothing
        changed = text[:at] + other + text[at + 1 :]
        forged = sent.with_header(name, changed) if name else replace(sent, body=changed.encode())
        assert await is_refused(entry, forged, proofs), at


@each(SIGNED)
async def test_no_byte_of_the_body_can_be_changed(entry: Events, sent: Sent) -> None:
    proofs = proofs_for(entry)
    for at in range(len(sent.body)):
        changed = bytearray(sent.body)
        changed[at] ^= 1
        assert await is_refused(entry, replace(sent, body=bytes(changed)), proofs), at
    for body in (
        b"",
        sent.body + b" ",
        sent.body[:-1],
        sent.body * 2,
        json.dumps(json.loads(sent.body)).encode() + b"\n",
    ):
        assert await is_refused(entry, replace(sent, body=body), proofs)


@pytest.mark.parametrize("name", ["slack", "stripe", "linear", "everything", "discord"])
async def test_what_was_signed_long_ago_or_ahead_of_time_is_refused(name: str) -> None:
    entry, sent = SIGNED[name]
    proofs = proofs_for(entry)
    for seconds in (-299, 0, 299):
        assert not await is_refused(entry, sent, proofs, seconds=seconds)
    for seconds in (-302, 302, 86400.0 * 365, -86400.0 * 365):
        assert await is_refused(entry, sent, proofs, seconds=seconds)


@pytest.mark.parametrize(
    "stamp", ["", " ", "now", "-1", "1e9", "1772600767.5", "\uff19", "9" * 17, "\0", f" {STAMP}", f"{STAMP}\n"]
)
async def test_time_that_is_none_is_refused_though_it_is_signed(stamp: str) -> None:
    text = f"v0:{stamp}:".encode(errors="replace") + BODY
    sent = signed("v0=" + hex_hmac(SECRET, text), ("x-time", stamp))
    assert await is_refused(SLACK, sent)


async def test_time_of_a_header_cannot_stand_in_for_that_of_the_body() -> None:
    _, sent = SIGNED["linear"]
    late = sent.with_header("linear-timestamp", str(int((NOW.timestamp() + 3600) * 1000)))
    assert await is_refused(LINEAR, late, seconds=3600)


@each(SIGNED)
async def test_header_that_came_twice_is_nobodys(entry: Events, sent: Sent) -> None:
    proofs = proofs_for(entry)
    for name, value in sent.headers:
        for again in (value, "other"):
            assert await is_refused(entry, replace(sent, headers=(*sent.headers, (name, again))), proofs), name
        assert await is_refused(entry, sent.without(name), proofs), name


async def test_address_that_is_signed_is_the_one_that_was_registered() -> None:
    entry, sent = SIGNED["square"]
    assert await is_refused(entry, replace(sent, url="https://everlink.example/hooks/app/production/other"))


async def test_signature_of_another_version_is_none() -> None:
    made = hex_hmac(SECRET, f"{STAMP}.".encode() + BODY)
    assert await is_refused(STRIPE, signed(f"t={STAMP},v0={made}"))
    assert await is_refused(STRIPE, signed(f"t={STAMP},t={STAMP},v1={made}"))
    assert await is_refused(STRIPE, signed(f"v1={made}"))
    assert not await is_refused(STRIPE, signed(f"t={STAMP}, v1={'0' * 64}, v1={made}"))  # while a secret is rolled


async def test_signature_of_nothing_is_none() -> None:
    for value in ("", "v0=", "v0", "v0=zz", "v0=" + "0" * 64, "sha256=" + hex_hmac(SECRET, BODY)):
        assert await is_refused(SLACK, signed(value, TIME))


@pytest.mark.parametrize("key", ["", "zz", "00", "0" * 64, "f" * 64, PUBLIC_KEY[:-2], "0" * 128])
async def test_key_that_is_none_opens_nothing(key: str) -> None:
    entry, sent = SIGNED["discord"]
    assert await is_refused(entry, sent, Proofs(None, (key,)))


@pytest.mark.parametrize(
    "token",
    [
        hs256(JWT, algorithm="none"),
        hs256({**JWT, "exp": NOW.timestamp() - 61}),
        hs256({**JWT, "nbf": NOW.timestamp() + 61}),
        hs256({**JWT, "iat": NOW.timestamp() + 61}),
        hs256({**JWT, "exp": True}),
        hs256({**JWT, "exp": "never"}),
        hs256({**JWT, "exp": 1e300}),
        hs256({"iat": NOW.timestamp()}),
        hs256(JWT, SECRET),
        hs256(JWT) + ".",
        "Basic " + hs256(JWT),
        "",
        "a.b.c",
    ],
)
async def test_token_that_is_over_unsigned_or_endless_is_refused(token: str) -> None:
    entry, sent = OTHERS["jwt"]
    assert await is_refused(entry, sent.with_header("authorization", token))


async def test_token_for_somebody_else_is_refused() -> None:
    entry = events({"scheme": "jwt", "audience": "us"})
    for audience, refused in (("us", False), (["them", "us"], False), ("them", True), (None, True), ([], True)):
        token = hs256({**JWT, "aud": audience})
        assert await is_refused(entry, Sent(BODY, (("authorization", token),))) is refused
    token = hs256({**JWT, "aud": "us"})
    assert not await is_refused(entry, Sent(BODY, (("authorization", f"Bearer {token}"),)))


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (rs256({**SET, "iss": "https://other.example"}), "invalid_issuer"),
        (rs256({**SET, "aud": "other"}), "invalid_audience"),
        (rs256({**SET, "aud": []}), "invalid_audience"),
        (rs256(SET, OTHER_RSA), "authentication_failed"),
        (rs256(SET, kid="two"), "invalid_key"),
        (hs256(SET, jwks()["keys"][0]["n"]).encode(), "authentication_failed"),
        (hs256(SET, algorithm="none").encode(), "authentication_failed"),
        (rs256({**SET, "jti": None}), "invalid_request"),
        (rs256({**SET, "events": []}), "invalid_request"),
        (rs256({**SET, "iat": "now"}), "invalid_request"),
        (rs256(SET, typ="at+jwt"), "invalid_request"),
        (b"", "invalid_request"),
        (b"\xff", "invalid_request"),
        (b"{}", "invalid_request"),
        (b"e30.e30.", "authentication_failed"),
        (rs256(SET)[:-10], "authentication_failed"),
    ],
)
async def test_event_token_that_is_not_for_us_is_refused_by_its_name(body: bytes, code: str) -> None:
    entry, sent = OTHERS["set"]
    with pytest.raises(Refused) as refused:
        await said(entry, replace(sent, body=body))
    assert refused.value.code == code


async def test_event_token_is_never_too_old() -> None:
    entry, sent = OTHERS["set"]
    found = await said(entry, sent, days=400)
    assert found.text("claims.jti") == "one"
    assert not await is_refused(entry, replace(sent, body=rs256({**SET, "aud": ["x", CLIENT_ID]}) + b"\n"))


async def test_key_that_the_provider_has_made_since_is_looked_for_once() -> None:
    entry, _ = OTHERS["set"]
    keys = Keys(jwks(), jwks(OTHER_RSA, "two"))
    sent = Sent(rs256(SET, OTHER_RSA, "two"))
    found = await verify(entry, sent.incoming(), PROOFS, keys, NOW)
    assert (found.text("claims.jti"), keys.asked) == ("one", [False, True])


@pytest.mark.parametrize(
    "body",
    [
        signed_request({"algorithm": "HMAC-SHA1", "user_id": "u"}),
        signed_request({"user_id": "u"}),
        signed_request({"algorithm": "HMAC-SHA256"}, SECRET),
        signed_request({"algorithm": "HMAC-SHA256"}) + b"&signed_request=x.y",
        signed_request({"algorithm": "HMAC-SHA256"})[:-1],
        b"signed_request=" + base64url(b"x").encode(),
        b"signed_request=.",
        b"signed_request=a.a",
        b"user_id=u",
        b"",
        b"\xff=\xff",
    ],
)
async def test_signed_request_that_is_none_is_refused(body: bytes) -> None:
    entry, sent = OTHERS["signed_request"]
    assert await is_refused(entry, replace(sent, body=body))


@pytest.mark.parametrize(
    "shown", ["", "Basic", "Basic !", "Bearer x", basic("other"), basic(CLIENT_ID, "x"), basic() + "x"]
)
async def test_other_credentials_are_refused(shown: str) -> None:
    entry, sent = OTHERS["basic"]
    assert await is_refused(entry, sent.with_header("authorization", shown))


@pytest.mark.parametrize(
    "signature",
    [
        {"scheme": "hmac", "header": "x", "timestamp": {"at": "header.x-time"}},  # which is not signed
        {"scheme": "hmac", "header": "x", "signed": "{timestamp}.{body}"},
        {"scheme": "hmac", "header": "x", "signed": "{timestamp}", "timestamp": {"at": "header.t"}},
        {"scheme": "hmac", "header": "x", "signed": "{body}{secret}"},
        {"scheme": "hmac", "header": "x", "signed": "{body}{id}"},
        {"scheme": "hmac", "header": "X-Signature"},
        {"scheme": "hmac", "header": "x", "algorithm": "md5"},
        {"scheme": "ed25519", "header": "x", "secret": "client_secret"},
        {"scheme": "jwt", "algorithm": "none"},
        {"scheme": "mine"},
    ],
    ids=str,
)
def test_way_of_signing_that_proves_nothing_is_no_entry(signature: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Signature).validate_python(signature)


def test_what_nobody_signs_is_at_most_suspect() -> None:
    rules = [{"kind": "revoked", "match": {"account": "query.id"}}]
    with pytest.raises(ValidationError, match="at most suspect"):
        events({"scheme": "none"}, rules=rules)


def test_what_a_token_says_nothing_of_is_at_most_suspect() -> None:
    """Whoever has a token of that secret, as a page in a customer's browser may, can send it with any body."""

    def taken(path: str) -> bool:
        return events({"scheme": "jwt"}, rules=[{"kind": "revoked", "match": {"account": path}}]).is_proven

    assert taken("claims.sub")
    for path in ("body.team", "query.id", "header.x-team"):
        with pytest.raises(ValidationError, match="at most suspect"):
            taken(path)


@pytest.mark.parametrize("path", ["claims.sub", "event.type", "account", "body.", "token.id"])
def test_path_into_nowhere_is_no_entry(path: str) -> None:
    rules = [{"kind": "revoked", "match": {"account": path}}]
    with pytest.raises(ValidationError, match="must begin with one of"):
        events({"scheme": "hmac", "header": "x"}, rules=rules)


# Keys that are published


class Published:
    """Where a provider publishes its keys."""

    def __init__(self) -> None:
        self.asked, self.status, self.body = 0, 200, json.dumps(jwks())

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked += 1
        return httpx.Response(self.status, stream=httpx.ByteStream(self.body.encode()))


@pytest.fixture
def published() -> Published:
    return Published()


@pytest.fixture
def key_sets(published: Published) -> KeySets:
    return KeySets(httpx.AsyncClient(transport=httpx.MockTransport(published)))


async def test_keys_are_fetched_once_and_again_where_one_is_new(
    published: Published, key_sets: KeySets, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(keysets, "monotonic", lambda: now)
    for _ in range(3):
        await key_sets.get("https://issuer.example/keys")
    assert published.asked == 1
    await key_sets.get("https://issuer.example/keys", newer=True)
    assert published.asked == 1  # they are a moment old: whoever makes up a key's name costs the provider nothing
    now += 61
    await key_sets.get("https://issuer.example/keys", newer=True)
    assert published.asked == 2
    now += 3601
    await key_sets.get("https://issuer.example/keys")
    assert published.asked == 3


@pytest.mark.parametrize(
    ("status", "body"), [(500, json.dumps(jwks())), (200, "<html>"), (200, '{"keys": 7}'), (200, "[]"), (200, "{}")]
)
async def test_keys_that_cannot_be_fetched_leave_those_that_there_were(
    published: Published, key_sets: KeySets, monkeypatch: pytest.MonkeyPatch, status: int, body: str
) -> None:
    now = 1000.0
    monkeypatch.setattr(keysets, "monotonic", lambda: now)
    good, published.status, published.body = published.body, status, body
    for _ in range(3):
        with pytest.raises(KeysUnavailable):
            await key_sets.get("https://issuer.example/keys")
    assert published.asked == 1
    published.status, published.body, now = 200, good, now + 11
    kept = await key_sets.get("https://issuer.example/keys")
    published.status, published.body, now = status, body, now + 3601
    assert await key_sets.get("https://issuer.example/keys") is kept
    asked = published.asked
    assert await key_sets.get("https://issuer.example/keys") is kept
    assert published.asked == asked  # the provider that fails is not asked for each event


async def test_many_who_ask_for_keys_at_once_are_one_request(published: Published, key_sets: KeySets) -> None:
    found = await asyncio.gather(*(key_sets.get("https://issuer.example/keys") for _ in range(20)))
    assert published.asked == 1
    assert len({id(one) for one in found}) == 1


async def test_keys_at_a_private_address_are_not_fetched() -> None:
    async with make_client(TargetGuard([])) as http:
        with pytest.raises(KeysUnavailable):
            await KeySets(http).get("http://127.0.0.1:9/keys")


def read_as(body: bytes, **given: Any) -> Announced | None:
    told = events({"scheme": "token", "header": "x-token"}, **given)
    incoming = Sent(body).incoming()
    return announced(told, incoming, read(incoming, told))


@pytest.mark.parametrize("around", [b"%s", b'{"team": %s}', b'{"team": {"id": %s}}'])
def test_body_that_is_nested_too_deeply_says_nothing(around: bytes) -> None:
    for depth in range(100, 1000):
        assert read_as(around % (b"[" * depth + b"]" * depth)) is None, depth


def test_headers_without_end_take_no_time() -> None:
    """Anybody can send as many as the server takes, and while they are counted nobody else is answered."""
    headers = tuple((f"x-{number}", "") for number in range(30_000))
    begun = process_time()
    assert len(Sent(BODY, (*headers, ("x-1", ""))).incoming().once) == 29_999
    assert process_time() - begun < 1


def test_half_a_character_is_in_no_key() -> None:
    found = read_as(rb'{"team": "\ud800"}')
    assert found is not None
    assert [value.encode() for value in found.ended[0].match["account"]] == [b"?"]


def test_events_with_an_empty_id_are_told_apart_by_what_they_say() -> None:
    first, again, second = (
        read_as(body, id="body.id")
        for body in (b'{"id": "", "team": "T1"}', b'{"id": "", "team": "T1"}', b'{"id": "", "team": "T2"}')
    )
    assert first is not None and again is not None and second is not None
    assert first.id == again.id != second.id
