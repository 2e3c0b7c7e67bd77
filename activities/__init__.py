"""Everything that touches the outside world, one file per concern."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from activities.deliver import DeliverActivities
from activities.dispatch import DispatchActivities
from activities.farewell import FarewellActivities
from activities.probe import ProbeActivities
from activities.record import RecordActivities
from activities.refresh import RefreshActivities
from activities.removal import RemovalActivities
from activities.replay import ReplayActivities
from activities.shared import Shared
from activities.upkeep import UpkeepActivities


def activities(shared: Shared) -> list[Callable[..., Any]]:
    """All activities, on what they share."""
    refresh, probe = RefreshActivities(shared), ProbeActivities(shared)
    farewell, record, deliver = (
        FarewellActivities(shared),
        RecordActivities(shared),
        DeliverActivities(shared),
    )
    upkeep, removal, replay = UpkeepActivities(shared), RemovalActivities(shared), ReplayActivities(shared)
    dispatch = DispatchActivities(shared)
    return [
        refresh.refresh,
        refresh.store_sealed,
        probe.probe,
        farewell.revoke_upstream,
        farewell.purge_credential,
        record.record_transition,
        deliver.deliver_webhook,
        deliver.close_delivery,
        upkeep.sweep_deliveries,
        upkeep.sweep_grants,
        upkeep.sweep_overdue,
        upkeep.sweep_fleet,
        upkeep.sweep_removals,
        upkeep.sweep_replays,
        upkeep.sweep_outages,
        upkeep.sweep_inbox,
        removal.remove_connections,
        removal.settle_removal,
        removal.finish_removal,
        replay.replay_events,
        replay.finish_replay,
        dispatch.dispatch_events,
    ]
