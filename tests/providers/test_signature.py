"""Our signatures are verified by the library that receivers use, and by nothing that was altered."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from providers.signature import PREFIX, legacy_sign, new_secret, sign

BODY = '{"name":"Müller 🔒"}'.encode()
SECRET = new_secret()


def now() -> int:
    return int(datetime.now(UTC).timestamp())


def headers(secret: str = SECRET, age: int = 0) -> dict[str, str]:
    timestamp = now() - age
    return {
        "webhook-id": "evt_1",
        "webhook-timestamp": str(timestamp),
        "webhook-signature": sign(secret.encode(), "evt_1", timestamp, BODY),
    }


def test_receiver_accepts_the_signature() -> None:
    assert Webhook(SECRET).verify(BODY, headers()) == {"name": "Müller 🔒"}


def test_signature_is_the_one_of_the_specification() -> None:
    secret, body = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", b'{"test": 2432232314}'
    signature = sign(secret.encode(), "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("webhook-id", "evt_2"),
        ("webhook-timestamp", str(now() - 1)),
        ("webhook-signature", headers()["webhook-signature"].swapcase()),
        ("webhook-signature", ""),
    ],
    ids=["id", "timestamp", "signature", "no signature"],
)
def test_altered_header_is_refused(name: str, value: str) -> None:
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(BODY, {**headers(), name: value})


@pytest.mark.parametrize("body", [b"", BODY + b" ", BODY.replace(b"M", b"m")], ids=["empty", "longer", "altered"])
def test_altered_body_is_refused(body: bytes) -> None:
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(body, headers())


def test_another_secret_is_refused() -> None:
    with pytest.raises(WebhookVerificationError):
        Webhook(new_secret()).verify(BODY, headers())


def test_old_delivery_is_refused_as_a_replay() -> None:
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(BODY, headers(age=3600))


def test_receiver_that_rotates_accepts_either_secret() -> None:
    old, new = headers(SECRET), headers(other := new_secret())
    both = {**old, "webhook-signature": f"{new['webhook-signature']} {old['webhook-signature']}"}
    for secret in (SECRET, other):
        Webhook(secret).verify(BODY, both)


def test_secrets_are_long_and_differ() -> None:
    made = {new_secret() for _ in range(100)}
    assert len(made) == 100 and all(secret.startswith(PREFIX) and len(secret) == 50 for secret in made)


def test_seeds_signature_is_the_hex_hmac_of_the_body_alone() -> None:
    """RFC 4231, test case 2."""
    expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    assert legacy_sign(b"Jefe", b"what do ya want for nothing?") == expected
