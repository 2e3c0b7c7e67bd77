"""The API process: `python -m api`."""

from __future__ import annotations

import sys

import uvicorn
from fastapi import FastAPI

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
    serve(create_app(settings), settings)


def serve(app: FastAPI, settings: Settings) -> None:
    """Answer at the address of the settings until told to stop."""
    uvicorn.run(
        app,
        host=settings.host,
        port=settings.port,
        log_level=settings.log_level.lower(),
        access_log=False,  # it would log the links' secrets
        server_header=False,
        timeout_graceful_shutdown=10,
    )


if __name__ == "__main__":
    main()
