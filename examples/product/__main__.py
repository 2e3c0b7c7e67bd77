"""The product as a process: `python -m examples.product`, with what `settings.py` names in the environment."""

from __future__ import annotations

import os
import socket
import sys

import uvicorn
from fastapi import FastAPI

from examples.product.app import create_app
from examples.product.settings import Settings


class Server(uvicorn.Server):
    """Ends what open pages listen to before it waits for requests to end."""

    def __init__(self, app: FastAPI, port: int) -> None:
        super().__init__(uvicorn.Config(app, port=port, log_level="warning"))
        self._app = app

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await self._app.state.product.inbox.close()
        await super().shutdown(sockets)


def main() -> None:
    try:
        settings = Settings.from_env(os.environ)
    except KeyError as missing:
        sys.exit(f"{missing.args[0]} is not set; `make example` sets everything")
    Server(create_app(settings), settings.port).run()


if __name__ == "__main__":
    main()
