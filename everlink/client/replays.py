"""The client's part that concerns replays: events that are sent to an endpoint once more."""

from __future__ import annotations

from everlink.client.transport import Transport, segment
from everlink.models import Replay


class Replays:
    """`client.replays`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def get(self, replay_id: str) -> Replay:
        """How far it is, and how what it sent fares."""
        return await self._transport.get(f"/v1/replays/{segment(replay_id)}", Replay)
