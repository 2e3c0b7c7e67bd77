"""Tells whose account was connected, from what the provider said of it."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from everlink.answers import Body, texts_at
from providers.credential import Credential, KeyCredential
from providers.entry import Identity

MAX_LENGTH = 255  # of an id; a longer one is none
MOST_KEYS = 1000  # of one name


@dataclass(frozen=True)
class Whose:
    """An account at the provider."""

    id: str
    name: str | None = None
    keys: dict[str, list[str]] = field(default_factory=dict)  # by which the provider's events name it, `account` too


def identify(identity: Identity, credential: Credential, probed: Body) -> Whose | None:
    """Whose account a credential opens; None where what was said does not tell."""
    places: dict[str, Any] = {"probe": probed}
    if isinstance(credential, KeyCredential):
        places["given"] = credential.fields
    else:
        said_before = credential.extra
        places |= {"given": credential.given, "token": said_before, "id_token": _claims(said_before)}
        places["callback"] = said_before.get("callback")

    def said(path: str) -> list[str]:
        place, _, rest = path.partition(".")
        return [text for text in texts_at(places.get(place), rest) if _can_be_kept(text)][:MOST_KEYS]

    found = next(iter(said(identity.id)), None)
    if found is None:
        return None
    keys = {name: values for name, path in identity.keys.items() if (values := said(path))}
    name = next(iter(said(identity.name)), None) if identity.name else None
    return Whose(found, name, {"account": [found], **keys})


def _can_be_kept(text: str) -> bool:
    """No store keeps half a character, as a claim may hold, or a NUL."""
    whole = text.encode(errors="replace").decode() == text
    return 0 < len(text) <= MAX_LENGTH and "\0" not in text and whole


def _claims(said: Mapping[str, Any]) -> Any:
    """The claims of an id token. It came over TLS from the token endpoint (OpenID Connect Core 3.1.3.7, point 6)."""
    token = said.get("id_token")
    if not isinstance(token, str) or token.count(".") != 2:
        return None
    payload = token.split(".")[1]
    try:
        return json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (ValueError, RecursionError):
        return None
