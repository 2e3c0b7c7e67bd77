"""Who may read sealed payloads: operators who have shown `EVERLINK_CODEC_TOKEN`, in Temporal's Web UI and command line.

The payloads of all organizations are in one namespace and under one key, so no organization's API key opens them. The
Web UI can show a cookie of ours, if it is told to include cross-origin credentials; what else it can show, its own
access token, only an installation with single sign-on has. The command line shows the token itself.
"""

from __future__ import annotations

import hmac
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from store.codec import Codec, codec_keys
from store.hashing import sha256
from store.settings import Settings
from store.vault import KeyInvalid, Keyring

SIGNED_IN_FOR = timedelta(hours=12)
TOKEN_LENGTH = 20  # at least


class CodecServer:
    """Knows operators again by what it has given them. It keeps nothing: with the token, every sign-in ends."""

    def __init__(self, keys: Keyring, token: str, web_ui_url: str) -> None:
        self.codec = Codec(keys)
        address = urlsplit(web_ui_url)
        self.web_ui_origin = f"{address.scheme}://{address.netloc}"
        self._token = token

    @classmethod
    def from_settings(cls, settings: Settings) -> CodecServer | None:
        """None: without a key there is nothing to open, without a token nobody to open it for.

        Raises:
            KeyInvalid: a key is none, or the token can be guessed.
        """
        keys = codec_keys(settings)
        token = settings.codec_token.get_secret_value() if settings.codec_token is not None else ""
        if token and len(token) < TOKEN_LENGTH:
            raise KeyInvalid(f"EVERLINK_CODEC_TOKEN has less than {TOKEN_LENGTH} characters")
        return cls(keys, token, settings.web_ui_url) if keys is not None and token else None

    def is_token(self, shown: str) -> bool:
        return hmac.compare_digest(sha256(shown), sha256(self._token))

    def sign_in(self, now: datetime) -> str:
        """What the browser of who has shown the token shows from now on."""
        ends = str(int((now + SIGNED_IN_FOR).timestamp()))
        return f"{ends}.{self._signature(ends)}"

    def is_signed_in(self, shown: str, now: datetime) -> bool:
        ends, _, signature = shown.partition(".")
        is_ours = hmac.compare_digest(signature.encode(), self._signature(ends).encode())
        return is_ours and now.timestamp() < int(ends)

    def _signature(self, ends: str) -> str:
        return hmac.digest(self._token.encode(), f"codec sign-in until {ends}".encode(), "sha256").hex()
