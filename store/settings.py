"""Settings: environment variables `EVERLINK_*`."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """What the service is told from outside; the README lists each."""

    model_config = SettingsConfigDict(env_prefix="EVERLINK_", extra="ignore")

    dev: bool = False  # development: makes its own master key; set only by `make run`
    state_dir: Path = Path(".everlink")  # where development keeps its files
    database_url: SecretStr = SecretStr("sqlite+aiosqlite:///.everlink/everlink.sqlite3")
    master_key: SecretStr | None = None  # "id:base64 of 32 bytes", several separated by commas; the first writes
    master_key_file: Path | None = None
    codec_key: SecretStr | None = None  # the same; payloads in Temporal are sealed by it, without one they are not
    codec_token: SecretStr | None = None  # what operators show to read sealed payloads in the Web UI
    temporal_address: str = "127.0.0.1:7233"
    temporal_namespace: str = "default"
    web_ui_url: str = "http://127.0.0.1:8233"  # Temporal's Web UI, for links
    public_url: str = "http://127.0.0.1:8080"  # how browsers and providers reach the API
    host: str = "127.0.0.1"
    port: int = 8080
    catalog_dir: Path | None = None  # further application catalog entries
    allowed_targets: str = ""  # hosts that outgoing requests may reach although they are not public
    read_cache_seconds: float = Field(default=0.0, ge=0, le=1)  # how long the API may answer a token from memory
    build_id: str | None = None  # turns Temporal's worker versioning on
    log_level: str = "INFO"
    key_rate_limit: str = "2000/second"  # of one API key or session token at one API process; empty: none
    address_rate_limit: str = "2000/second"  # of one address at one API process; empty: none
    trusted_proxies: str = ""  # addresses and networks whose X-Forwarded-For is believed
