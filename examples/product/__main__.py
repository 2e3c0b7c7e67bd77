"""The product as a process: `python -m examples.product`, with what `settings.py` names in the environment."""

from __future__ import annotations

import asyncio
import os
import socket
import sys

import uvicorn

from examples.product.app import create_app
from examples.product.settings import Settings


class Server(uvicorn.Server):
    """Says where the product is, once it is there."""

    def __init__(self, settings: Settings) -> None:
        # Open pages listen for changes for ever: they are not waited for at the end.
        app, port = create_app(settings), settings.port
        super().__init__(uvicorn.Config(app, port=port, log_level="warning", timeout_graceful_shutdown=1))
        self._url = settings.url

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            print(f"open {self._url}", flush=True)


def main() -> None:
    try:
        settings = Settings.from_env(os.environ)
    except KeyError as missing:
        sys.exit(f"{missing.args[0]} is not set; `make example` sets everything")
    asyncio.run(Server(settings).serve())


if __name__ == "__main__":
    main()
