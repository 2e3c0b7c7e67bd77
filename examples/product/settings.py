"""What this product is told by its environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Settings:
    everlink_url: str
    everlink_api_key: str = field(repr=False)
    sandbox_url: str  # the provider that customers connect here
    url: str  # where customers' browsers find this product
    webhook_url: str  # where Everlink finds it

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Self:
        return cls(
            everlink_url=env["EVERLINK_URL"],
            everlink_api_key=env["EVERLINK_API_KEY"],
            sandbox_url=env["SANDBOX_URL"],
            url=env["PRODUCT_URL"],
            webhook_url=env["PRODUCT_WEBHOOK_URL"],
        )

    @property
    def port(self) -> int:
        return urlsplit(self.url).port or 80

    @property
    def integrations_url(self) -> str:
        """Where customers come back to."""
        return f"{self.url}/settings/integrations"
