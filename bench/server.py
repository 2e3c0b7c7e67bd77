"""The API process that is measured: `python -m bench.server`. Everlink's own, with two routes more."""

from __future__ import annotations

import uvicorn

from api.app import create_app
from api.server import server_options
from store.settings import Settings

BARE = "/bare"
REQUESTS = "/requests"


async def bare() -> dict[str, bool]:
    """What the framework costs: it touches nothing."""
    return {"ok": True}


def main() -> None:
    settings = Settings()
    app = create_app(settings)
    app.get(BARE)(bare)
    server = uvicorn.Server(uvicorn.Config(app, **server_options(settings)))

    @app.get(REQUESTS)
    async def requests() -> int:
        """How many there have been, this one included."""
        return server.server_state.total_requests

    server.run()


if __name__ == "__main__":
    main()
