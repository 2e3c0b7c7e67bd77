"""Liveness and readiness, for supervisors."""

from __future__ import annotations

from fastapi import APIRouter
from sqlalchemy import text

from api.auth import Made

router = APIRouter(include_in_schema=False)


@router.get("/healthz")
async def alive() -> dict[str, bool]:
    return {"ok": True}


@router.get("/readyz")
async def ready(made: Made) -> dict[str, bool]:
    """Whether the database answers; 503 where it does not."""
    async with made.database.reading() as connection:
        await connection.execute(text("SELECT 1"))
    return {"ok": True}
