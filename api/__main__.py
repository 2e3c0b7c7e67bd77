"""The API process: `python -m api`."""

from __future__ import annotations

import sys

import uvicorn

from api.app import create_app
from providers.catalog import Catalog, CatalogError
from store.settings import Settings
from store.vault import MasterKeys, VaultError


def main() -> None:
    settings = Settings()
    try:  # a clear line in place of uvicorn's stack
        MasterKeys.from_settings(settings)
        Catalog.load(settings.catalog_dir)
    except (VaultError, CatalogError) as error:
        sys.exit(f"everlink api: {error}")
    uvicorn.run(
        create_app(settings),
        host=settings.host,
        port=settings.port,
        log_level=settings.log_level.lower(),
        access_log=False,  # it would log the links' secrets
        server_header=False,
        timeout_graceful_shutdown=10,
    )


if __name__ == "__main__":
    main()
