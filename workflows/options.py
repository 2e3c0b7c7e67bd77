"""Timeouts and retry policies of every activity, each with its reason, named once."""

from __future__ import annotations

from datetime import timedelta

from temporalio.common import Priority, RetryPolicy

# A token or probe request waits up to 5 s for its turn, has a total deadline of 20 s, and the store takes up to 10 s
# each side of it. Not longer: this is when a task is tried again that a worker took along into its grave, and where a
# provider repeats a lost answer, it does so for a while only.
PROVIDER_CALL = timedelta(seconds=45)

# One round of tries: short trouble passes without anybody hearing of it; what lasts longer ends the round,
# and the workflow goes on with its own timer, on which the state shows in words.
ROUND = RetryPolicy(
    initial_interval=timedelta(seconds=2),
    backoff_coefficient=2.0,
    maximum_interval=timedelta(seconds=30),
    maximum_attempts=5,
)

# A local activity is a first try only; every retry is a normal activity, whose attempts the Web UI shows.
FIRST_TRY = RetryPolicy(maximum_attempts=1)

# Writes to our own store are retried without end: what happened must be recorded, however long it takes.
STORE_CALL = timedelta(seconds=30)
# Of a local activity, which holds up its workflow and a workflow task meanwhile: a store that takes this long
# is in trouble.
QUICK_STORE_CALL = timedelta(seconds=5)
WITHOUT_END = RetryPolicy(
    initial_interval=timedelta(seconds=1), backoff_coefficient=2.0, maximum_interval=timedelta(minutes=1)
)

# Revoking upstream is a courtesy to the customer: tried for a week, then the credential is purged all the same.
REVOKE_FOR = timedelta(days=7)
REVOKE = RetryPolicy(
    initial_interval=timedelta(seconds=2), backoff_coefficient=3.0, maximum_interval=timedelta(hours=6)
)

# The delivery's schedule is the workflow's, so that the history shows each attempt and when the next is due.
# Only the worker's death or the store's trouble is retried here.
DELIVERY_CALL = timedelta(seconds=60)

# A page of upkeep asks Temporal a hundred times, ten at once, 10 s at most each. What fails, the next round
# (a minute later) tries again.
SWEEP = timedelta(minutes=3)
SWEEP_TRIES = RetryPolicy(maximum_attempts=3)

# A page of a removal or a replay is told in a second or two; a worker that dies with one is noticed that soon.
PAGE_HEARTBEAT = timedelta(seconds=20)

# A removal lets revocations at the provider and the last events have a day; then what is left of them goes as well.
SETTLE_FOR = timedelta(days=1)


def priority(org_id: str, *, urgent: bool) -> Priority:
    """Somebody waits (a forced refresh, a reconnect): ahead of routine; fair between organizations."""
    return Priority(priority_key=1 if urgent else 3, fairness_key=org_id)
