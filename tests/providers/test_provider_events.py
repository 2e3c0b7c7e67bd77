"""What each application of the catalog sends, as it documents it: it is known, and says whose grants end.

Signed here with nothing of ours. An entry that gains `events` has to gain a case.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from everlink.contract import ProviderEventKind
from providers.catalog import Catalog
from providers.events import Events, SecurityEventToken, Unsigned
from providers.inbound.incoming import Incoming, Refused, Said, read
from providers.inbound.keysets import KeySet, KeySets
from providers.inbound.reading import Announced, announced, asks, reply
from providers.inbound.verify import Proofs, verify
from tests.providers.signing import (
    CLIENT_ID,
    CLIENT_SECRET,
    ED25519,
    NOW,
    SECRET,
    Sent,
    base64_hmac,
    basic,
    hex_hmac,
    hs256,
    jwks,
    rs256,
    signed_request,
)

CATALOG = Catalog.load()
STAMP = str(int(NOW.timestamp()))
PROOFS = Proofs(CLIENT_ID, (SECRET,), (CLIENT_SECRET,))
PUBLIC_KEY = Proofs(None, (ED25519.public_key().public_bytes_raw().hex(),))
UNINSTALLED, REVOKED, SUSPECT = ProviderEventKind.UNINSTALLED, ProviderEventKind.REVOKED, ProviderEventKind.SUSPECT
RISC = "https://schemas.openid.net/secevent"

Sign = Callable[[bytes], Sent]


class Keys(KeySets):
    def __init__(self) -> None:
        pass

    async def get(self, url: str, *, newer: bool = False) -> KeySet:
        return KeySet.import_key_set(jwks())  # type: ignore[arg-type]


@dataclass(frozen=True)
class Case:
    """A request, and what it means."""

    slug: str
    sent: Sent
    ended: list[tuple[ProviderEventKind, dict[str, list[str]]]]
    at: datetime | None
    proofs: Proofs = field(default=PROOFS)

    @property
    def events(self) -> Events:
        entry = CATALOG.get(self.slug)
        assert entry is not None and entry.events is not None
        return entry.events


def body_of(said: dict[str, Any]) -> bytes:
    return json.dumps(said).encode()


def slack(body: bytes) -> Sent:
    made = "v0=" + hex_hmac(SECRET, f"v0:{STAMP}:".encode() + body)
    return Sent(body, (("x-slack-signature", made), ("x-slack-request-timestamp", STAMP)))


def slack_event(**event: Any) -> bytes:
    wrapper = {"token": "z", "team_id": "T0001", "api_app_id": "A0002", "type": "event_callback"}
    return body_of({**wrapper, "event": event, "event_id": "Ev08", "event_time": int(NOW.timestamp())})


def github(event: str) -> Sign:
    def sign(body: bytes) -> Sent:
        made = ("x-hub-signature-256", "sha256=" + hex_hmac(SECRET, body))
        return Sent(
            body, (made, ("x-github-event", event), ("x-github-delivery", "72d3162e-cc78-11e3-81ab-4c9367dc0958"))
        )

    return sign


def square(body: bytes) -> Sent:
    return Sent(body, (("x-square-hmacsha256-signature", base64_hmac(SECRET, Sent().url.encode() + body)),))


def google(kind: str, **more: Any) -> Sent:
    subject = {"subject_type": "iss-sub", "iss": "https://accounts.google.com/", "sub": "7375626A656374"}
    claims = {
        "iss": "https://accounts.google.com/",
        "aud": CLIENT_ID,
        "iat": int(NOW.timestamp()),
        "jti": "756E69717565206964656E746966696572",
        "events": {f"{RISC}/{kind}": {"subject": subject, **more}},
    }
    return Sent(rs256(claims), (("content-type", "application/secevent+jwt"),))


def discord(body: bytes) -> Sent:
    made = ED25519.sign(STAMP.encode() + body).hex()
    return Sent(body, (("x-signature-ed25519", made), ("x-signature-timestamp", STAMP)))


def shopify(body: bytes, topic: str = "app/uninstalled") -> Sent:
    headers = {
        "x-shopify-topic": topic,
        "x-shopify-hmac-sha256": base64_hmac(CLIENT_SECRET, body),
        "x-shopify-shop-domain": "another.myshopify.com",  # no part of what is signed
        "x-shopify-webhook-id": "b54557e4-bdd9-4b37-8a5f-bf7d70bcd043",
        "x-shopify-triggered-at": "2026-03-04T05:06:00.123456789Z",
    }
    return Sent(body, tuple(headers.items()))


def zoom(body: bytes) -> Sent:
    made = "v0=" + hex_hmac(SECRET, f"v0:{STAMP}:".encode() + body)
    return Sent(body, (("x-zm-signature", made), ("x-zm-request-timestamp", STAMP)))


def linear(body: bytes) -> Sent:
    return Sent(body, (("linear-signature", hex_hmac(SECRET, body)), ("linear-delivery", "234d1a4e")))


def stripe(body: bytes) -> Sent:
    made = hex_hmac(SECRET, f"{STAMP}.".encode() + body)
    return Sent(body, (("stripe-signature", f"t={STAMP},v1={made},v0=6ffb"),))


def monday(said: dict[str, Any]) -> Sent:
    token = hs256({"dat": {"account_id": 1}, "exp": NOW.timestamp() + 300, "iat": NOW.timestamp()})
    return Sent(body_of(said), (("authorization", token),))


def pipedrive(said: dict[str, Any]) -> Sent:
    return Sent(body_of(said), (("authorization", basic()),), method="DELETE")


CASES = [
    Case("slack", slack(slack_event(type="app_uninstalled")), [(UNINSTALLED, {"account": ["T0001"]})], NOW),
    Case(
        "slack",
        slack(slack_event(type="tokens_revoked", tokens={"oauth": ["UXXXXXXXX"], "bot": ["UYYYYYYYY"]})),
        [
            (REVOKED, {"account": ["T0001"], "user": ["UYYYYYYYY"]}),
            (REVOKED, {"account": ["T0001"], "user": ["UXXXXXXXX"]}),
        ],
        NOW,
    ),
    Case(
        "slack",
        slack(slack_event(type="tokens_revoked", tokens={"oauth": ["UXXXXXXXX"], "bot": []})),
        [(REVOKED, {"account": ["T0001"], "user": ["UXXXXXXXX"]})],
        NOW,
    ),
    Case(
        "github",
        github("installation")(body_of({"action": "deleted", "installation": {"id": 957387}, "sender": {"id": 1}})),
        [(UNINSTALLED, {"installation": ["957387"]})],
        None,
    ),
    Case(
        "github",
        github("installation")(body_of({"action": "suspend", "installation": {"id": 957387}, "sender": {"id": 1}})),
        [(SUSPECT, {"installation": ["957387"]})],
        None,
    ),
    Case(
        "github",
        github("github_app_authorization")(body_of({"action": "revoked", "sender": {"id": 21031067, "login": "x"}})),
        [(REVOKED, {"account": ["21031067"]})],
        None,
    ),
    Case(
        "square",
        square(
            body_of(
                {
                    "merchant_id": "0HPGX5JYE6EE1",
                    "type": "oauth.authorization.revoked",
                    "event_id": "f7adfcf4-4a25-4c2a-a8e4-b0d1e7a5f6a8",
                    "created_at": "2026-03-04T05:06:07Z",
                    "data": {
                        "type": "revocation",
                        "object": {"revocation": {"revoked_at": "2026-03-04T05:06:06Z", "revoker_type": "MERCHANT"}},
                    },
                }
            )
        ),
        [(REVOKED, {"account": ["0HPGX5JYE6EE1"]})],
        NOW,
    ),
    Case("google", google("oauth/event-type/tokens-revoked"), [(REVOKED, {"account": ["7375626A656374"]})], NOW),
    Case(
        "google",
        google("risc/event-type/account-disabled", reason="hijacking"),
        [(SUSPECT, {"account": ["7375626A656374"]})],
        NOW,
    ),
    Case("google", google("risc/event-type/sessions-revoked"), [(SUSPECT, {"account": ["7375626A656374"]})], NOW),
    Case(
        "discord",
        discord(
            body_of(
                {
                    "version": 1,
                    "application_id": "1234560123453231555",
                    "type": 1,
                    "event": {
                        "type": "APPLICATION_DEAUTHORIZED",
                        "timestamp": "2026-03-04T05:06:07.614022",
                        "data": {"user": {"id": "80351110224678912", "username": "Nelly"}},
                    },
                }
            )
        ),
        [(UNINSTALLED, {"account": ["80351110224678912"]})],
        NOW + timedelta(microseconds=614022),
        PUBLIC_KEY,
    ),
    Case(
        "facebook",
        Sent(signed_request({"algorithm": "HMAC-SHA256", "issued_at": int(STAMP), "user_id": "218471"})),
        [(UNINSTALLED, {"account": ["218471"]})],
        NOW,
    ),
    Case(
        "monday",
        monday(
            {
                "type": "uninstall",
                "data": {
                    "app_id": 1000000000,
                    "user_id": 3,
                    "account_id": 17,
                    "timestamp": "2026-03-04T05:06:07.000+00:00",
                },
            }
        ),
        [(SUSPECT, {"organization": ["17"]})],
        NOW,
    ),
    Case(
        "shopify",
        shopify(body_of({"id": 548380009, "name": "Super Toys", "myshopify_domain": "super-toys.myshopify.com"})),
        [(UNINSTALLED, {"shop": ["super-toys.myshopify.com"]})],
        datetime(2026, 3, 4, 5, 6, 0, 123456, UTC),
    ),
    Case(
        "zoom",
        zoom(
            body_of(
                {
                    "event": "app_deauthorized",
                    "event_ts": int(STAMP) * 1000,
                    "payload": {
                        "account_id": "EabCDEFghiLHMA",
                        "user_id": "z9jkdsfsdfjhdkfjQ",
                        "signature": "827edc3452044f0bc86bdd5684afb7d1e6becfa1a767f24df1b287853cf73000",
                        "deauthorization_time": "2026-03-04T05:06:07.000Z",
                        "client_id": "ADZ9k9bTWmGUoUbECUKU_a",
                    },
                }
            )
        ),
        [(UNINSTALLED, {"user": ["z9jkdsfsdfjhdkfjQ"], "organization": ["EabCDEFghiLHMA"]})],
        NOW,
    ),
    Case(
        "linear",
        linear(
            body_of(
                {
                    "type": "OAuthApp",
                    "action": "revoked",
                    "createdAt": "2026-03-04T05:06:07.000Z",
                    "oauthClientId": "b2f1",
                    "organizationId": "dbc7",
                    "webhookTimestamp": int(STAMP) * 1000,
                    "webhookId": "000042e3",
                }
            )
        ),
        [(REVOKED, {"organization": ["dbc7"]})],
        NOW,
    ),
    Case(
        "pipedrive",
        pipedrive({"client_id": CLIENT_ID, "company_id": 7, "user_id": 8, "timestamp": "2026-03-04 05:06:07"}),
        [(UNINSTALLED, {"company": ["7"], "user": ["8"]})],
        NOW,
    ),
    *(
        Case(
            slug,
            stripe(
                body_of(
                    {
                        "id": "evt_1",
                        "object": "event",
                        "account": "acct_1032D82eZvKYlo2C",
                        "created": int(STAMP),
                        "type": "account.application.deauthorized",
                        "data": {"object": {"id": "ca_1", "object": "application", "name": "Us"}},
                    }
                )
            ),
            [(UNINSTALLED, {"account": ["acct_1032D82eZvKYlo2C"]})],
            NOW,
        )
        for slug in ("stripe_apps", "stripe_connect")
    ),
    Case(
        "quickbooks",
        Sent(method="GET", query="realmId=123145854055284"),
        [(SUSPECT, {"account": ["123145854055284"]})],
        None,
    ),
]
IDS = [f"{case.slug}-{number}" for number, case in enumerate(CASES)]


async def prove(case: Case, sent: Sent, proofs: Proofs | None = None) -> tuple[Incoming, Said]:
    incoming = sent.incoming()
    return incoming, await verify(case.events, incoming, proofs or case.proofs, Keys(), NOW)


async def heard(case: Case, sent: Sent) -> Announced | None:
    incoming, said = await prove(case, sent)
    return announced(case.events, incoming, said)


def test_every_entry_with_events_is_tried() -> None:
    assert {case.slug for case in CASES} == {entry.slug for entry in CATALOG if entry.events is not None}


@pytest.mark.parametrize("case", CASES, ids=IDS)
async def test_what_is_documented_says_whose_grants_end(case: Case) -> None:
    told = await heard(case, case.sent)
    assert told is not None
    assert [(one.kind, one.match) for one in told.ended] == case.ended
    assert told.occurred_at == case.at
    again = await heard(case, case.sent)
    assert again is not None and again.id == told.id


@pytest.mark.parametrize(
    "case", [one for one in CASES if not isinstance(one.events.signature, Unsigned)], ids=lambda one: one.slug
)
async def test_it_is_nobody_elses(case: Case) -> None:
    stranger = Proofs("other", ("another-signing-secret-long-enough",), ("another-client-secret-long-enough",))
    with pytest.raises(Refused):
        await prove(case, case.sent, stranger)
    stripped = replace(case.sent, headers=(), body=case.sent.body[:-1])
    with pytest.raises(Refused):
        await prove(case, stripped)


@pytest.mark.parametrize(
    ("case", "sent"),
    [
        (CASES[0], slack(slack_event(type="message", text="app_uninstalled"))),
        (CASES[0], slack(body_of({"type": "event_callback", "event": {"type": "app_uninstalled"}}))),
        (CASES[0], slack(body_of({"type": "app_uninstalled", "team_id": "T0001"}))),
        (CASES[1], slack(slack_event(type="tokens_revoked", tokens={}))),
        (CASES[1], slack(slack_event(type="tokens_revoked", tokens="U1"))),
        (CASES[3], github("installation")(body_of({"action": "created", "installation": {"id": 1}}))),
        (CASES[3], github("installation")(body_of({"action": "unsuspend", "installation": {"id": 1}}))),
        (CASES[3], github("push")(body_of({"action": "deleted", "installation": {"id": 1}}))),
        (CASES[3], github("installation")(body_of({"action": "deleted", "installation": {"id": None}}))),
        (CASES[3], github("installation")(body_of({"action": "deleted", "installation": {"id": True}}))),
        (CASES[3], github("installation")(b"[]")),
        (CASES[3], github("installation")(b"\xff")),
        (CASES[3], github("installation")(b"[" * 100_000)),
        (CASES[7], google("risc/event-type/verification", state="hello")),
        (CASES[7], google("risc/event-type/account-enabled")),
        (CASES[13], shopify(b'{"myshopify_domain": "a.myshopify.com"}', "shop/update")),
    ],
)
async def test_what_says_nothing_of_grants_is_taken_and_ends_none(case: Case, sent: Sent) -> None:
    assert await heard(case, sent) is None


async def test_event_token_with_several_events_tells_each() -> None:
    [case] = [one for one in CASES if one.slug == "google"][:1]
    subject = {"subject": {"sub": "one"}}
    claims = {
        "iss": "https://accounts.google.com",
        "aud": ["else", CLIENT_ID],
        "iat": int(STAMP),
        "jti": "j",
        "events": {
            f"{RISC}/oauth/event-type/tokens-revoked": subject,
            f"{RISC}/risc/event-type/sessions-revoked": {"subject": {"sub": "two"}},
            f"{RISC}/oauth/event-type/token-revoked": None,
        },
    }
    assert isinstance(case.events.signature, SecurityEventToken)
    told = await heard(case, Sent(rs256(claims)))
    assert told is not None
    assert [(one.kind, one.match) for one in told.ended] == [
        (REVOKED, {"account": ["one"]}),
        (SUSPECT, {"account": ["two"]}),
    ]


async def challenged(case: Case, sent: Sent, secret: str = SECRET) -> dict[str, str] | None:
    said = read(sent.incoming(), case.events)
    challenge = case.events.challenge
    assert challenge is not None
    if challenge.is_signed:
        _, said = await prove(case, sent)
    return reply(challenge, said, secret) if asks(challenge, said) else None


async def test_challenges_are_answered_as_each_provider_wants() -> None:
    by_slug = {case.slug: case for case in CASES}
    asked = slack(body_of({"token": "J", "challenge": "3eZbrw1a", "type": "url_verification"}))
    assert await challenged(by_slug["slack"], asked) == {"challenge": "3eZbrw1a"}
    validation = {
        "event": "endpoint.url_validation",
        "event_ts": 1,
        "payload": {"plainToken": "qgg8vlvZRS6UYooatFL8Aw"},
    }
    plain, made = "qgg8vlvZRS6UYooatFL8Aw", hex_hmac(SECRET, b"qgg8vlvZRS6UYooatFL8Aw")
    answer = {"plainToken": plain, "encryptedToken": made}
    assert await challenged(by_slug["zoom"], zoom(body_of(validation))) == answer
    assert await challenged(by_slug["discord"], discord(body_of({"version": 1, "type": 0}))) == {}
    assert await challenged(by_slug["monday"], Sent(body_of({"challenge": "3eZb"}))) == {"challenge": "3eZb"}
    assert await challenged(by_slug["monday"], monday({"type": "uninstall"})) is None
    assert await challenged(by_slug["slack"], slack(body_of({"type": "url_verification"}))) is None


async def test_nobody_is_given_a_proof_without_the_secret() -> None:
    [case] = [one for one in CASES if one.slug == "zoom"]
    validation = body_of({"event": "endpoint.url_validation", "payload": {"plainToken": "v0:1:{}"}})
    with pytest.raises(Refused):
        await challenged(case, Sent(validation))
