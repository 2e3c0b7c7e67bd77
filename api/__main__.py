"""The API process: `python -m api`."""

from __future__ import annotations

import sys

import uvicorn

from api.app import create_app
from api.codec_server import CodecServer
from api.limits import RateLimitInvalid, RateLimits
from api.server import server_options
from providers.catalog import Catalog, CatalogError
from store.settings import Settings
from store.vault import MasterKeys, VaultError


def main() -> None:
    settings = Settings()
    try:  # a clear line in place of uvicorn's stack
        MasterKeys.from_settings(settings)
        CodecServer.from_settings(settings)
        Catalog.load(settings.catalog_dir)
        RateLimits(settings)
    except (VaultError, CatalogError, RateLimitInvalid) as error:
        sys.exit(f"everlink api: {error}")
    uvicorn.run(create_app(settings), **server_options(settings))


if __name__ == "__main__":
    main()
