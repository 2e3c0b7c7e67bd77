"""Credentials at rest: AES-256-GCM under a data key per organization and environment, which a master key wraps.

A blob is `version (1) | data key id (16) | nonce (12) | ciphertext`. What it is, whose, and under which key
is authenticated with it, so that a blob moved to another row does not open.
"""

from __future__ import annotations

import base64
import hmac
import json
import os
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from tempfile import NamedTemporaryFile
from uuid import UUID, uuid4

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import select

from store.database import Clock, Database, utc_now
from store.scope import Scope
from store.settings import Settings
from store.tables import DATA_KEYS

VERSION = b"\x01"
NONCE_BYTES = 12
KEY_BYTES = 32


class VaultError(Exception):
    """Base of what the vault raises."""


class MasterKeyMissing(VaultError):
    """No master key is set. Without one, nothing can be sealed or opened."""


class KeyInvalid(VaultError):
    """A setting's key is not `id:base64 of 32 bytes`, or none of its keys opens what it should."""


class SealBroken(VaultError):
    """A blob does not open: altered, truncated, moved from another row, or under an unknown key."""


class Kind(StrEnum):
    """What a blob is; part of what is authenticated."""

    CREDENTIAL = "credential"
    CLIENT_SECRET = "client_secret"
    SIGNING_SECRET = "signing_secret"
    WEBHOOK_SECRET = "webhook_secret"
    LEGACY_WEBHOOK_SECRET = "legacy_webhook_secret"
    WEBHOOK_HEADERS = "webhook_headers"
    WEBHOOK_ANSWER = "webhook_answer"
    PKCE_VERIFIER = "pkce_verifier"
    GIVEN_FIELDS = "given_fields"
    ANSWER = "answer"
    SESSION_TOKEN = "session_token"
    CURSOR = "cursor"


class Keyring:
    """The named keys of a setting: the first seals, all open. What is sealed names its key."""

    def __init__(self, setting: str, text: str) -> None:
        self._setting = setting
        keys = [self._parse(part) for part in text.split(",") if part.strip()]
        if not keys:
            raise KeyInvalid(f"{setting} is empty")
        self._keys = dict(keys)
        if len(self._keys) < len(keys):
            raise KeyInvalid(f"{setting} has two keys of one id")
        self._writer = next(iter(self._keys))

    def derive(self, purpose: bytes) -> bytes:
        """A key for something else than sealing, from the first: a key has one use."""
        return hmac.digest(self._keys[self._writer], purpose, "sha256")

    def seal(self, text: bytes, context: bytes) -> bytes:
        nonce = os.urandom(NONCE_BYTES)
        name = self._writer.encode()
        sealed = AESGCM(self._keys[self._writer]).encrypt(nonce, text, context + name)
        return VERSION + bytes([len(name)]) + name + nonce + sealed

    def open(self, sealed: bytes, context: bytes) -> bytes:
        """Raises:
        KeyInvalid: it was sealed by a key that is not set, or is broken.
        """
        size = sealed[1] if sealed[:1] == VERSION and len(sealed) > 1 else 0
        name, nonce, text = sealed[2 : 2 + size], sealed[2 + size : 14 + size], sealed[14 + size :]
        shown = name.decode(errors="replace")
        key = self._keys.get(shown)
        if key is None:
            raise KeyInvalid(f"{self._setting} has no key with the id {shown!r}")
        try:
            return AESGCM(key).decrypt(nonce, text, context + name)
        except (InvalidTag, ValueError):  # a nonce cut short is the latter
            raise KeyInvalid(f"the key {shown!r} of {self._setting} does not open what it should") from None

    def _parse(self, part: str) -> tuple[str, bytes]:
        name, _, text = part.strip().partition(":")
        try:
            key = base64.b64decode(text, validate=True)
        except ValueError:
            key = b""
        if not name or len(name.encode()) > 64 or len(key) != KEY_BYTES:
            raise KeyInvalid(f"{self._setting} is written as id:base64 of 32 bytes")
        return name, key


class MasterKeys(Keyring):
    """The key-encryption keys: they seal the data keys."""

    def __init__(self, text: str) -> None:
        super().__init__("EVERLINK_MASTER_KEY", text)

    @classmethod
    def from_settings(cls, settings: Settings) -> MasterKeys:
        """The keys that the settings name; development makes its own.

        Raises:
            MasterKeyMissing: none is set or its file cannot be read, and this is not development.
            KeyInvalid: what is set is not a key.
        """
        if settings.master_key is not None:
            return cls(settings.master_key.get_secret_value())
        if settings.master_key_file is not None:
            return cls(_read(settings.master_key_file))
        if settings.dev:
            return cls(_development_key(settings))
        raise MasterKeyMissing(
            "set EVERLINK_MASTER_KEY or EVERLINK_MASTER_KEY_FILE; `python manage.py new-master-key` makes one"
        )


class Vault:
    """Seals and opens secrets. Data keys are kept in memory once unwrapped."""

    def __init__(self, database: Database, master_keys: MasterKeys, clock: Clock = utc_now) -> None:
        self._database = database
        self._master_keys = master_keys
        self._clock = clock
        self._keys: dict[tuple[Scope, UUID], AESGCM] = {}
        self._signers: dict[Scope, bytes] = {}

    async def seal(self, scope: Scope, kind: Kind, owner_id: str, secret: bytes, *, like: bytes | None = None) -> bytes:
        """Seal a secret of this owner, under the data key that the store has now or under that of another blob.

        The store is asked each time, since what is new must not be sealed under a key that was erased meanwhile.
        What takes the place of another blob needs no look: it is worth as much as that was.

        Raises:
            StoreUnavailable: the data key is not in memory and the database cannot be reached.
        """
        key_id = UUID(bytes=like[1:17]) if like is not None else None
        if key_id is None or (scope, key_id) not in self._keys:
            key_id = await self._load(scope)
        nonce = os.urandom(NONCE_BYTES)
        sealed = self._keys[scope, key_id].encrypt(nonce, secret, _context(scope, kind, owner_id, key_id))
        return VERSION + key_id.bytes + nonce + sealed

    async def open(self, scope: Scope, kind: Kind, owner_id: str, blob: bytes) -> bytes:
        """Open what was sealed for this owner.

        Raises:
            SealBroken: the blob was altered, truncated or moved.
            KeyInvalid: the data key is wrapped by a master key that is not set.
            StoreUnavailable: the data key is not in memory and the database cannot be reached.
        """
        if len(blob) < 1 + 16 + NONCE_BYTES + 16 or blob[:1] != VERSION:
            raise SealBroken("not a sealed blob")
        key_id, nonce, sealed = UUID(bytes=blob[1:17]), blob[17:29], blob[29:]
        if (scope, key_id) not in self._keys and await self._load(scope) != key_id:
            raise SealBroken("sealed under an unknown data key")
        try:
            return self._keys[scope, key_id].decrypt(nonce, sealed, _context(scope, kind, owner_id, key_id))
        except InvalidTag:
            raise SealBroken("the blob does not open") from None

    async def sign(self, scope: Scope, kind: Kind, owner_id: str, text: bytes) -> bytes:
        """What only this tenant's key makes of a text, to know again what is shown to callers as it is.

        Raises:
            StoreUnavailable: the data key is not in memory and the database cannot be reached.
        """
        if scope not in self._signers:
            await self._load(scope)
        context = json.dumps([kind, scope.org_id, scope.environment.value, owner_id]).encode()
        return hmac.digest(self._signers[scope], context + text, "sha256")

    async def _load(self, scope: Scope) -> UUID:
        """Read this tenant's data key, made at its first use."""
        query = select(DATA_KEYS.c.id, DATA_KEYS.c.wrapped).where(scope.owns(DATA_KEYS))
        async with self._database.reading() as connection:
            row = (await connection.execute(query)).one_or_none()
        if row is None:
            await self._create(scope)
            async with self._database.reading() as connection:
                row = (await connection.execute(query)).one()
        key_id = UUID(row.id)
        key = self._master_keys.open(row.wrapped, _context(scope, "data_key", row.id, key_id))
        self._keys[scope, key_id] = AESGCM(key)
        self._signers[scope] = hmac.digest(key, b"signing", "sha256")  # a key has one use
        return key_id

    async def _create(self, scope: Scope) -> None:
        key_id = uuid4()
        context = _context(scope, "data_key", str(key_id), key_id)
        values = {
            "id": str(key_id),
            **scope.columns,
            "wrapped": self._master_keys.seal(os.urandom(KEY_BYTES), context),
            "created_at": self._clock(),
        }
        async with self._database.writing() as connection:
            await connection.execute(self._database.insert_or_ignore(DATA_KEYS, values))


def new_master_key(name: str = "k1") -> str:
    """A new master key as the setting takes it."""
    return f"{name}:{base64.b64encode(os.urandom(KEY_BYTES)).decode()}"


def _context(scope: Scope, kind: str, owner_id: str, key_id: UUID) -> bytes:
    parts = [kind, scope.org_id, scope.environment.value, owner_id, VERSION.hex(), key_id.hex]
    return json.dumps(parts).encode()


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError as error:
        raise MasterKeyMissing(f"EVERLINK_MASTER_KEY_FILE cannot be read: {error.strerror}") from None


def _development_key(settings: Settings) -> str:
    path = settings.state_dir / "master.key"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile("w", dir=path.parent) as file:  # mode 0600
            file.write(new_master_key("dev"))
            file.flush()
            with suppress(FileExistsError):  # another process was faster: its key counts
                os.link(file.name, path)
    return path.read_text().strip()
