"""The API process that is measured: `python -m bench.server`. Everlink's own, with one route more."""

from __future__ import annotations

import uvicorn

from api.app import create_app
from api.server import server_options
from store.settings import Settings

BARE = "/bare"


async def bare() -> dict[str, bool]:
    """What the framework costs: it touches nothing."""
    return {"ok": True}


if __name__ == "__main__":
    settings = Settings()
    app = create_app(settings)
    app.get(BARE)(bare)
    uvicorn.run(app, **server_options(settings))
