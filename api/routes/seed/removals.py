"""`DELETE /api/v2/public/linked-account/{id}`: an end customer leaves."""

from __future__ import annotations

from fastapi import APIRouter

from api.auth import Connects, Made
from api.errors import ErrorBody
from api.removals import remove
from api.routes.seed.views import Message
from everlink.contract import RemovalKind

router = APIRouter(prefix="/api/v2/public/linked-account", tags=["Seed API"])


@router.delete("/{account_id:path}", responses={404: {"model": ErrorBody}})
async def remove_account(made: Made, scope: Connects, account_id: str) -> Message:
    """Remove a linked account: its session tokens are worth nothing from now on, its connections are disconnected.

    `DELETE /v1/linked-accounts/{account_id}` does the same and answers how far it is.
    """
    await remove(made, scope, RemovalKind.LINKED_ACCOUNT, account_id)
    return Message(message="the linked account is being removed")
