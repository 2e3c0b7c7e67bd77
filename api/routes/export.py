"""`/v1/export`: everything that there is, to take along."""

from __future__ import annotations

from collections.abc import AsyncIterator

from fastapi import APIRouter
from fastapi.responses import StreamingResponse

from api.auth import Administers, Made
from store.export import lines

router = APIRouter(tags=["Removals"])

EXAMPLE = '{"record": "linked_account", "id": "acme", "name": "Acme Inc.", "udf": {}}\n'


@router.get(
    "/v1/export",
    response_class=StreamingResponse,
    responses={200: {"content": {"application/x-ndjson": {"example": EXAMPLE}}}},
)
async def export(made: Made, scope: Administers) -> StreamingResponse:
    """All that your organization has in this environment, as JSON lines; no secret of any kind.

    Organization, settings, API keys, applications, webhook endpoints, linked accounts, connections, their timelines,
    events, deliveries with their attempts, replays and removals, each line with the kind of its `record`. The last is
    `{"record": "end"}` with the number of lines before it: an export without it was cut off.
    """

    async def body() -> AsyncIterator[str]:
        async for line in lines(made.database, scope):
            yield line

    return StreamingResponse(body(), media_type="application/x-ndjson", headers={"cache-control": "no-store"})
